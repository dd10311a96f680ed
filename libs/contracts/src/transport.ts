import { constants } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureContextOptions, connect as tlsConnect } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { startupError } from '@onepass/errors';
import { checkTls, filesOf, type TlsFiles, type TlsMaterial, type WatchOptions, watchFiles } from '@onepass/security';

/** How a process's connections are secured: those that it takes and those that it makes. */
export interface Transport {
  readonly secure: boolean;
  /** Where a connection that a server takes ends after this long, gracefully: its other end comes back with new certificates. */
  readonly connectionAgeMs: number;
  server(): grpc.ServerCredentials;
  /** @param address host:port; the host's certificate must name it */
  channel(address: string): grpc.ChannelCredentials;
  /** What the message of a call that found no connection comes to. */
  explain(message: string): string;
  close(): void;
}

/** All that grpc-js knows of a connection that the other end closed before it was one. */
const CLOSED_AT_ONCE = 'Last error: Failed to connect';

/** A value, so that no caller asks whether there is TLS. */
export const PLAINTEXT: Transport = {
  secure: false,
  connectionAgeMs: Infinity,
  server: () => grpc.ServerCredentials.createInsecure(),
  channel: () => grpc.credentials.createInsecure(),
  explain: (message) =>
    message.includes(CLOSED_AT_ONCE) ? 'the server closed the connection at once: it may want TLS' : message,
  close() {},
};

/** What a server asks of its clients: no certificate, one where there is one, or always one. */
export const CLIENT_CERTIFICATES = ['none', 'optional', 'required'] as const;
export type ClientCertificates = (typeof CLIENT_CERTIFICATES)[number];

export interface TlsOptions extends Pick<WatchOptions<TlsMaterial>, 'logger' | 'measurements'> {
  readonly files: TlsFiles;
  /** Of a server. */
  readonly clients?: ClientCertificates;
  /** The name that servers' certificates must have in place of the host of their address. */
  readonly serverName?: string | undefined;
  readonly connectionAgeMs?: number;
  readonly reloadMs?: number;
}

const RELOAD_MS = 1_000;

/**
 * TLS with files that are looked at every second: connections made from then on use what is new, open ones stay as they are.
 * @throws OnepassError `startup` naming the setting and the file
 */
export function openTls(options: TlsOptions): Transport {
  const { files, clients = 'required', serverName, connectionAgeMs = Infinity, logger, measurements } = options;
  const watched = watchFiles({
    what: 'certificates',
    files: filesOf(files),
    parse: (contents) => usable(files, checkTls(files, contents, Date.now())),
    everyMs: options.reloadMs ?? RELOAD_MS,
    logger,
    measurements,
  });
  measurements.observe('onepass.certificate.lifetime', () => (watched.value.expiresMs - Date.now()) / 1000);
  const server = new TlsServerCredentials(clients, watched.value.options);
  watched.onChange((value) => server.change(value.options));
  return {
    secure: true,
    connectionAgeMs,
    server: () => server,
    channel: (address) => new TlsChannelCredentials(() => watched.value.context, serverName ?? hostOf(address)),
    explain: explainTls,
    close: () => watched.close(),
  };
}

function explainTls(message: string): string {
  if (message.includes('wrong version number')) return 'the server does not speak TLS';
  if (message.includes('alert certificate required')) return 'the server wants a client certificate';
  // node's server closes without an alert.
  return message.includes(CLOSED_AT_ONCE)
    ? 'the server closed the connection at once: it may not accept this client certificate'
    : message;
}

interface Usable {
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
  readonly expiresMs: number;
}

function usable(files: TlsFiles, { ca, own, expiresMs }: TlsMaterial): Usable {
  // A resumed session would not be checked against a new bundle of authorities.
  const options = { ca, ...own, secureOptions: constants.SSL_OP_NO_TICKET };
  try {
    return { options, context: createSecureContext(options), expiresMs };
  } catch (error) {
    const names = filesOf(files).map(({ name }) => name);
    throw startupError(`${names.join(', ')}: OpenSSL refuses these files: ${(error as Error).message}`, error);
  }
}

/**
 * grpc-js's own certificate provider reads the files of a pair one by one and drops every new connection while one of them is unreadable
 * (docs/decisions/009-security.md).
 */
class TlsServerCredentials extends grpc.ServerCredentials {
  constructor(clients: ClientCertificates, options: SecureContextOptions) {
    super({ requestCert: clients !== 'none', rejectUnauthorized: clients === 'required' }, options);
  }

  change(options: SecureContextOptions): void {
    this.updateSecureContextOptions(options);
  }

  _equals(other: grpc.ServerCredentials): boolean {
    return this === other;
  }
}

class TlsChannelCredentials extends grpc.ChannelCredentials {
  readonly #context: () => SecureContext;
  readonly #serverName: string;

  constructor(context: () => SecureContext, serverName: string) {
    super();
    this.#context = context;
    this.#serverName = serverName;
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: grpc.ChannelCredentials): boolean {
    return this === other;
  }

  _createSecureConnector(
    _target: unknown,
    _options: grpc.ChannelOptions,
    callCredentials = grpc.CallCredentials.createEmpty(),
  ): grpc.experimental.SecureConnector {
    return {
      connect: (socket) => secured(socket, this.#context(), this.#serverName),
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials,
      destroy() {},
    };
  }
}

function secured(
  socket: Socket,
  secureContext: SecureContext,
  host: string,
): Promise<grpc.experimental.SecureConnectResult> {
  return new Promise((resolve, reject) => {
    // An address is checked against the certificate too, but is no name that may be asked for (RFC 6066).
    const servername = isIP(host) ? '' : host;
    const secure = tlsConnect({ socket, secureContext, host, servername, ALPNProtocols: ['h2'] });
    const failed = (error: Error) => reject(new Error(`TLS to ${host}: ${error.message}`, { cause: error }));
    const closed = () => failed(new Error('the connection was closed'));
    secure.once('error', failed).once('close', closed);
    secure.once('secureConnect', () => {
      secure.off('error', failed).off('close', closed);
      resolve({ socket: secure, secure: true });
    });
  });
}

/** Of host:port, also [::1]:port. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}
