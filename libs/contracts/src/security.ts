import { choice, integer, parsed, readSettings, type SettingValues, sharedSettings, text } from '@onepass/config';
import { startupError } from '@onepass/errors';
import { type CallGuard, OPEN_GUARD, PolicyGuard, parsePolicy, type TlsFiles, watchFiles } from '@onepass/security';
import { type Logger, Measurements, silentLogger } from '@onepass/telemetry';
import { SERVICES_OF_ROLE } from './contract-methods.js';
import { methodPath } from './implement.js';
import { REFLECTION_METHODS } from './reflection.js';
import { CLIENT_CERTIFICATES, type ClientCertificates, openTls, PLAINTEXT, type Transport } from './transport.js';

/** Settings of connections and of who may call. */
export const securitySettings = {
  host: sharedSettings.host,
  mode: choice('ONEPASS_MODE', 'production refuses what is for drills only', ['production', 'development'], {
    default: 'production',
  }),
  tlsCert: text(
    'ONEPASS_TLS_CERT',
    'PEM file of this process’s certificate, intermediate ones after it; empty = no TLS',
    {
      default: '',
    },
  ),
  tlsKey: text('ONEPASS_TLS_KEY', 'PEM file of its private key', { default: '' }),
  tlsCa: text('ONEPASS_TLS_CA', 'PEM file of the authorities that other processes’ certificates must chain to', {
    default: '',
  }),
  tlsClients: parsed(
    'ONEPASS_TLS_CLIENTS',
    'certificates of callers: none | optional | required; empty = required with TLS',
    parseClients,
    { default: '' },
  ),
  tlsServerName: text(
    'ONEPASS_TLS_SERVER_NAME',
    'name that the certificates of called processes must have; empty = the host of their address',
    { default: '' },
  ),
  connectionAgeMs: integer('ONEPASS_TLS_CONNECTION_AGE_MS', 'after how long a TLS connection is ended and made anew', {
    default: 3_600_000,
    minimum: 1_000,
    maximum: 2 ** 31 - 1,
  }),
  insecure: choice('ONEPASS_INSECURE', 'yes: production mode may listen beyond this host without TLS', ['no', 'yes'], {
    default: 'no',
  }),
  policy: text('ONEPASS_POLICY', 'JSON file of who may call what, watched; empty = anybody anything', { default: '' }),
};

export type SecuritySettings = SettingValues<typeof securitySettings>;

export interface Security {
  readonly transport: Transport;
  readonly guard: CallGuard;
  close(): void;
}

function parseClients(raw: string): ClientCertificates | undefined {
  const word = CLIENT_CERTIFICATES.find((w) => w === raw);
  if (word === undefined && raw !== '') throw new Error(`must be one of ${CLIENT_CERTIFICATES.join(', ')}`);
  return word;
}

/** @throws OnepassError `startup`, one sentence naming the settings or the file */
export function openSecurity(settings: SecuritySettings, logger: Logger, measurements: Measurements): Security {
  const problem = contradiction(settings);
  if (problem !== undefined) throw startupError(problem);
  const transport = openTransport(settings, logger, measurements);
  try {
    if (!transport.secure && !isLoopback(settings.host)) {
      logger.warn({ host: settings.host }, 'TLS is off: whoever reaches this process can read and call all of it');
    }
    const policy = openPolicy(settings.policy, logger, measurements);
    return {
      transport,
      guard: policy.guard,
      close: () => {
        transport.close();
        policy.close();
      },
    };
  } catch (error) {
    transport.close();
    throw error;
  }
}

function contradiction(settings: SecuritySettings): string | undefined {
  const { host, mode, tlsCert, tlsKey, tlsCa, tlsClients, tlsServerName, insecure, policy } = settings;
  const files = { ONEPASS_TLS_CERT: tlsCert, ONEPASS_TLS_KEY: tlsKey, ONEPASS_TLS_CA: tlsCa };
  const names = Object.keys(files);
  const unset = Object.entries(files).flatMap(([name, path]) => (path === '' ? [name] : []));
  if (unset.length > 0 && unset.length < names.length) {
    const given = names.filter((name) => !unset.includes(name)).join(' and ');
    return `${given} without ${unset.join(' and ')}: TLS needs all three`;
  }
  if (unset.length > 0) {
    if (policy !== '') return `ONEPASS_POLICY needs to know callers by their certificates: set ${names.join(', ')}`;
    if (tlsClients !== undefined) return `ONEPASS_TLS_CLIENTS=${tlsClients} without ${names.join(', ')}: TLS is off`;
    if (tlsServerName !== '') return `ONEPASS_TLS_SERVER_NAME without ${names.join(', ')}: TLS is off`;
    if (mode === 'production' && insecure === 'no' && !isLoopback(host)) {
      return `ONEPASS_HOST=${host} can be reached from other hosts and TLS is off: set ${names.join(', ')}, or ONEPASS_INSECURE=yes`;
    }
    return undefined;
  }
  if (insecure === 'yes') return 'ONEPASS_INSECURE=yes and ONEPASS_TLS_CERT contradict each other';
  if (policy !== '' && tlsClients === 'none') {
    return 'ONEPASS_POLICY needs to know callers by their certificates, which ONEPASS_TLS_CLIENTS=none does not ask for';
  }
  if (policy === '' && tlsClients === 'optional') {
    return 'ONEPASS_TLS_CLIENTS=optional without ONEPASS_POLICY lets anybody call anything: set the policy, or say none';
  }
  return undefined;
}

/**
 * The transport of a process with these variables, for whoever looks after it: it calls as the process would.
 * @throws OnepassError `startup`, the sentence that the process would refuse them with
 */
export function transportOf(env: Readonly<Record<string, string | undefined>>): Transport {
  const settings = readSettings(securitySettings, env);
  const problem = contradiction(settings);
  if (problem !== undefined) throw startupError(problem);
  return openTransport(settings, silentLogger, new Measurements());
}

function openTransport(settings: SecuritySettings, logger: Logger, measurements: Measurements): Transport {
  const { tlsCert, tlsKey, tlsCa, tlsClients, tlsServerName, connectionAgeMs } = settings;
  if (tlsCert === '') return PLAINTEXT;
  return openTls({
    files: {
      ca: { name: 'ONEPASS_TLS_CA', path: tlsCa },
      own: { cert: { name: 'ONEPASS_TLS_CERT', path: tlsCert }, key: { name: 'ONEPASS_TLS_KEY', path: tlsKey } },
    },
    clients: tlsClients ?? 'required',
    serverName: tlsServerName === '' ? undefined : tlsServerName,
    connectionAgeMs,
    logger,
    measurements,
  });
}

/** PEM files of a client, looked at every second. */
export interface ClientTls {
  /** Authorities that the servers' certificates must chain to. */
  readonly ca: string;
  /** The client's own certificate and key, where servers ask for one. */
  readonly cert?: string;
  readonly key?: string;
  /** The name that the servers' certificates must have in place of the host of their address. */
  readonly serverName?: string;
}

/** @throws OnepassError `startup` naming the field and the file */
export function openClientTls({ ca, cert, key, serverName }: ClientTls): Transport {
  if ((cert === undefined) !== (key === undefined)) throw startupError('tls.cert and tls.key: one without the other');
  const files: TlsFiles = {
    ca: { name: 'tls.ca', path: ca },
    ...(cert !== undefined &&
      key !== undefined && { own: { cert: { name: 'tls.cert', path: cert }, key: { name: 'tls.key', path: key } } }),
  };
  return openTls({ files, serverName, logger: silentLogger, measurements: new Measurements() });
}

const POLICY_RELOAD_MS = 1_000;
const METHODS: ReadonlySet<string> = new Set([
  ...Object.values(SERVICES_OF_ROLE).flatMap((services) => services.flatMap((s) => s.methods.map(methodPath))),
  ...REFLECTION_METHODS,
]);

function openPolicy(path: string, logger: Logger, measurements: Measurements): { guard: CallGuard; close(): void } {
  if (path === '') return { guard: OPEN_GUARD, close() {} };
  const watched = watchFiles({
    what: 'policy',
    files: [{ name: 'ONEPASS_POLICY', path }],
    parse: ([text]) => parsePolicy(String(text), `ONEPASS_POLICY: ${path}`, METHODS),
    everyMs: POLICY_RELOAD_MS,
    logger,
    measurements,
  });
  const guard = new PolicyGuard({ policy: watched.value, logger, measurements });
  watched.onChange((policy) => guard.change(policy));
  return { guard, close: watched.close };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
