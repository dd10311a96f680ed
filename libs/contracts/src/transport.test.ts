import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { type Authority, type CertificateRequest, createAuthority } from '@onepass/certificates';
import type { OnepassError } from '@onepass/errors';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { afterEach, expect, test, vi } from 'vitest';
import { type ConnectionOptions, createClient } from './client.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { isServing } from './health.js';
import { implement } from './implement.js';
import { type RunningServer, startServer } from './server.js';
import { openTls, PLAINTEXT, type TlsOptions, type Transport } from './transport.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const HERE: CertificateRequest = { ips: ['127.0.0.1'], dnsNames: ['stage.example'] };

/** Files of a process that trusts `ca`. */
function filesFor(ca: string, pair?: { cert: string; key: string }) {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-tls-'));
  closing.push(() => rmSync(directory, { recursive: true }));
  const write = (contents: { ca?: string; cert?: string; key?: string }) => {
    for (const [name, text] of Object.entries(contents)) {
      writeFileSync(join(directory, 'new'), text);
      renameSync(join(directory, 'new'), join(directory, name));
    }
  };
  write({ ca, ...pair });
  const named = (name: string) => ({ name, path: join(directory, name) });
  const own = pair && { cert: named('cert'), key: named('key') };
  return { write, files: { ca: named('ca'), ...(own && { own }) } };
}

function open(files: TlsOptions['files'], options: Partial<TlsOptions> = {}): Transport {
  const telemetry = { logger: silentLogger, measurements: new Measurements() };
  const transport = openTls({ ...telemetry, files, reloadMs: 5, ...options });
  closing.push(() => transport.close());
  return transport;
}

const pairOf = (authority: Authority, request = HERE, trusted = authority.cert) =>
  filesFor(trusted, authority.issue(request));

async function serve(transport: Transport): Promise<RunningServer> {
  const server = await startServer({
    role: 'ranking',
    host: '127.0.0.1',
    port: 0,
    services: [implement(RankingService, { rank: () => ({ releaseId: 'r' }) })],
    logger: silentLogger,
    measurements: new Measurements(),
    transport,
  });
  closing.push(() => server.stop(0));
  server.setServing(true);
  return server;
}

/** 'r', or kind and sentence of the error. */
async function call(server: RunningServer, options: ConnectionOptions): Promise<string> {
  const client = createClient(RankingService, server.address, options);
  try {
    return (await client.rank({}, { deadlineMs: Date.now() + 5000 })).releaseId;
  } catch (error) {
    return `${(error as OnepassError).kind}: ${(error as Error).message}`;
  } finally {
    client.close();
  }
}

const authority = createAuthority('Mesh CA');

test('calls and health go through under mutual TLS', async () => {
  const server = await serve(open(pairOf(authority).files));
  const transport = open(pairOf(authority).files);
  expect(await call(server, { transport })).toBe('r');
  expect(await isServing(server.address, 2000, transport)).toBe(true);
  expect(await isServing(server.address, 2000)).toBe(false);
});

const other = createAuthority('Other CA');
test('each mistake is one clear error', async () => {
  const secure = await serve(open(pairOf(authority).files));
  const stranger = open(pairOf(other, HERE, authority.cert).files);
  const nobody = open(filesFor(authority.cert).files);
  const distrusting = open(pairOf(authority, HERE, other.cert).files);
  const expecting = open(pairOf(authority).files, { serverName: 'gateway.example' });
  const plain = await serve(PLAINTEXT);
  const closed = 'unavailable: the server closed the connection at once';
  expect(await call(secure, { transport: stranger })).toBe(`${closed}: it may not accept this client certificate`);
  expect(await call(secure, {})).toBe(`${closed}: it may want TLS`);
  expect(await call(secure, { transport: nobody })).toBe('unavailable: the server wants a client certificate');
  expect(await call(plain, { transport: nobody })).toBe('unavailable: the server does not speak TLS');
  expect(await call(secure, { transport: distrusting })).toContain('TLS to 127.0.0.1: self-signed certificate in');
  expect(await call(secure, { transport: expecting })).toContain("gateway.example. is not in the cert's altnames");
});

test('a client with an expired certificate is turned away, and one calls no server with one', async () => {
  const server = await serve(open(pairOf(authority).files));
  const soon = authority.issue({ ...HERE, notAfter: new Date(Date.now() + 1200) });
  const expiring = open(filesFor(authority.cert, soon).files);
  const late = await serve(expiring);
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(Date.parse(new X509Certificate(soon.cert).validTo)), 3000);
  expect(await call(server, { transport: expiring })).toContain('it may not accept this client certificate');
  expect(await call(late, { transport: open(pairOf(authority).files) })).toContain('certificate has expired');
});

test('a server name may stand for the address', async () => {
  const server = await serve(open(pairOf(authority, { dnsNames: ['stage.example'] }).files));
  const { files } = pairOf(authority);
  expect(await call(server, { transport: open(files) })).toContain("IP: 127.0.0.1 is not in the cert's list");
  expect(await call(server, { transport: open(files, { serverName: 'stage.example' }) })).toBe('r');
});

test('clients without a certificate are let in where none is required', async () => {
  const transport = open(filesFor(authority.cert).files);
  for (const clients of ['none', 'optional'] as const) {
    expect(await call(await serve(open(pairOf(authority).files, { clients })), { transport })).toBe('r');
  }
});

/** Who issued the certificate that a new connection is shown. */
async function issuerShown({ port }: RunningServer): Promise<string | undefined> {
  const socket = tlsConnect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const { issuer } = socket.getPeerX509Certificate() ?? {};
  socket.destroy();
  return issuer;
}

test('certificates and authorities are replaced under load without one failed call', async () => {
  const [old, next] = [authority, createAuthority('Next CA')];
  const sides = [pairOf(old), pairOf(old)] as const;
  const counts = [new Measurements(), new Measurements()] as const;
  const server = await serve(open(sides[0].files, { connectionAgeMs: 100, measurements: counts[0] }));
  const transport = open(sides[1].files, { measurements: counts[1] });
  const client = createClient(RankingService, server.address, { transport });
  const taken = (count: Measurements) =>
    count.snapshot()['onepass.files.replaced{onepass.files="certificates",onepass.files.outcome="taken"}'] ?? 0;
  const failures: string[] = [];
  let answered = 0;
  let going = true;
  const load = Array.from({ length: 4 }, async () => {
    while (going) {
      await client.rank({}).catch((error: Error) => failures.push(error.message));
      answered += 1;
    }
  });
  const replace = async (contents: () => { ca?: string; cert?: string; key?: string }) => {
    const before = counts.map(taken);
    for (const side of sides) side.write(contents());
    await vi.waitFor(() => {
      for (const [i, count] of counts.entries()) expect(taken(count)).toBeGreaterThan(before[i]!);
    }, 10_000);
    const started = answered;
    await vi.waitFor(() => expect(answered).toBeGreaterThan(started + 100), 10_000);
  };
  await replace(() => old.issue(HERE));
  await replace(() => ({ ca: old.cert + next.cert }));
  expect(await issuerShown(server)).toBe('CN=Mesh CA');
  await replace(() => next.issue(HERE));
  await replace(() => ({ ca: next.cert }));
  expect(await issuerShown(server)).toBe('CN=Next CA');
  const aged = Date.now() + 250;
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(aged));
  going = false;
  await Promise.all(load);
  client.close();
  expect(failures).toEqual([]);
});
