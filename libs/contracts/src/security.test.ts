import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { createAuthority } from '@onepass/certificates';
import { readSettings } from '@onepass/config';
import type { OnepassError } from '@onepass/errors';
import { type Logger, Measurements, silentLogger } from '@onepass/telemetry';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createClient } from './client.js';
import { SERVICES_OF_ROLE } from './contract-methods.js';
import { RankingService } from './gen/onepass/ranking/v1/ranking_pb.js';
import { isServing } from './health.js';
import { type Handlers, implement, methodPath } from './implement.js';
import { REFLECTION_METHODS } from './reflection.js';
import { openSecurity, type Security, securitySettings } from './security.js';
import { type RunningServer, startServer } from './server.js';
import { openTls, type Transport } from './transport.js';

const directory = mkdtempSync(join(tmpdir(), 'onepass-security-'));
const path = (name: string) => join(directory, name);
const authority = createAuthority('Mesh CA');
const write = (name: string, text: string) => {
  writeFileSync(path('new'), text);
  renameSync(path('new'), path(name));
};

/** Settings of a process with a certificate of its own in files named after it. */
function envOf(name: string, uris: readonly string[]): Record<string, string> {
  const pair = authority.issue({ commonName: name, uris, ips: ['127.0.0.1'] });
  write(`${name}.crt`, pair.cert);
  write(`${name}.key`, pair.key);
  write('ca.crt', authority.cert);
  return {
    ONEPASS_TLS_CERT: path(`${name}.crt`),
    ONEPASS_TLS_KEY: path(`${name}.key`),
    ONEPASS_TLS_CA: path('ca.crt'),
  };
}

const warn = vi.fn<Logger['warn']>();
const telemetry = { logger: { ...silentLogger, warn }, measurements: new Measurements() };
const options = { role: 'test', host: '127.0.0.1', port: 0, ...telemetry };
const open = (env: Record<string, string>) =>
  openSecurity(readSettings(securitySettings, env), telemetry.logger, telemetry.measurements);

const tls = envOf('stage', ['spiffe://stage']);
const [cert, key, ca] = ['ONEPASS_TLS_CERT', 'ONEPASS_TLS_KEY', 'ONEPASS_TLS_CA'].map((name) => ({
  [name]: tls[name]!,
}));
test.each([
  [{ ...cert }, 'ONEPASS_TLS_CERT without ONEPASS_TLS_KEY and ONEPASS_TLS_CA: TLS needs all three'],
  [{ ...cert, ...ca }, 'ONEPASS_TLS_CERT and ONEPASS_TLS_CA without ONEPASS_TLS_KEY: TLS needs all three'],
  [{ ...key, ...ca }, 'ONEPASS_TLS_KEY and ONEPASS_TLS_CA without ONEPASS_TLS_CERT: TLS needs all three'],
  [{ ...tls, ONEPASS_TLS_KEY: '/none' }, 'ONEPASS_TLS_KEY: cannot be read: ENOENT: no such file or directory, open'],
  [{ ONEPASS_TLS_CLIENTS: 'required' }, 'ONEPASS_TLS_CLIENTS=required without ONEPASS_TLS_CERT, ONEPASS_TLS_KEY'],
  [{ ONEPASS_TLS_CLIENTS: 'some' }, 'ONEPASS_TLS_CLIENTS: must be one of none, optional, required'],
  [{ ONEPASS_TLS_SERVER_NAME: 'x' }, 'ONEPASS_TLS_SERVER_NAME without ONEPASS_TLS_CERT'],
  [{ ONEPASS_POLICY: 'p' }, 'ONEPASS_POLICY needs to know callers by their certificates: set ONEPASS_TLS_CERT'],
  [{ ...tls, ONEPASS_POLICY: 'p', ONEPASS_TLS_CLIENTS: 'none' }, 'ONEPASS_POLICY needs to know callers by their cert'],
  [
    { ...tls, ONEPASS_TLS_CLIENTS: 'optional' },
    'ONEPASS_TLS_CLIENTS=optional without ONEPASS_POLICY lets anybody call',
  ],
  [{ ...tls, ONEPASS_POLICY: '/none' }, 'ONEPASS_POLICY: cannot be read: ENOENT'],
  [{ ...tls, ONEPASS_INSECURE: 'yes' }, 'ONEPASS_INSECURE=yes and ONEPASS_TLS_CERT contradict each other'],
  [
    { ONEPASS_HOST: '0.0.0.0' },
    'ONEPASS_HOST=0.0.0.0 can be reached from other hosts and TLS is off: set ONEPASS_TLS_C',
  ],
])('%j is refused', (env: Record<string, string>, sentence) => {
  expect(() => open(env)).toThrow(sentence);
});

test('TLS is off on loopback, and beyond it where that is said', () => {
  for (const ONEPASS_HOST of ['127.0.0.1', '127.1.2.3', 'localhost', '::1', '[::1]']) {
    expect(open({ ONEPASS_HOST }).transport.secure).toBe(false);
  }
  const abroad = { ONEPASS_HOST: '0.0.0.0' };
  expect(open({ ...abroad, ONEPASS_INSECURE: 'yes' }).transport.secure).toBe(false);
  expect(open({ ...abroad, ONEPASS_MODE: 'development' }).transport.secure).toBe(false);
});

const ALL = Object.values(SERVICES_OF_ROLE).flatMap((services) => services.flatMap((s) => s.methods.map(methodPath)));
const RANK = methodPath(RankingService.method.rank);
const callers: Record<string, { identities: string[]; methods: string[] }> = {
  gateway: { identities: ['spiffe://gateway'], methods: ['onepass.encoder.v1.UserEncoderService/*', RANK.slice(1)] },
  operator: { identities: ['operator'], methods: ['grpc.reflection.v1.ServerReflection/*'] },
  idle: { identities: ['spiffe://idle'], methods: [] },
};
const policyText = (of = callers) =>
  JSON.stringify({ callers: Object.entries(of).map(([name, entry]) => ({ name, ...entry })) });

const served = new Set<string>();
let server: RunningServer;
let security: Security;
const transports: Record<string, Transport> = {};
beforeAll(async () => {
  write('policy.json', policyText());
  const env = { ...tls, ONEPASS_TLS_CLIENTS: 'optional', ONEPASS_POLICY: path('policy.json') };
  security = open(env);
  const addService = vi.spyOn(grpc.Server.prototype, 'addService');
  const services = Object.values(SERVICES_OF_ROLE).flatMap((all) => all.map((service) => implement(service, {})));
  server = await startServer({ ...options, services, ...security });
  for (const [definition] of addService.mock.calls) {
    for (const { path } of Object.values(definition)) served.add(path);
  }
  addService.mockRestore();
  server.setServing(true);
  for (const name of ['gateway', 'operator', 'idle', 'stranger']) {
    transports[name] = open(envOf(name, name === 'operator' ? [] : [`spiffe://${name}`])).transport;
  }
});
afterAll(async () => {
  await server.stop(0);
  security.close();
  for (const transport of Object.values(transports)) transport.close();
  rmSync(directory, { recursive: true });
});

/** Status of an empty message to a method, as a stream to the reflection methods. */
function statusOf(transport: Transport, method: string): Promise<string> {
  const client = new grpc.Client(server.address, transport.channel(server.address));
  const bytes = (b: Buffer) => b;
  return new Promise<string>((resolve) => {
    const stream = client.makeBidiStreamRequest(method, bytes, bytes, { deadline: Date.now() + 10_000 });
    stream.on('data', () => {});
    stream.on('error', () => {});
    stream.on('status', (status: grpc.StatusObject) => resolve(grpc.status[status.code]));
    stream.write(Buffer.alloc(0));
    stream.end();
  }).finally(() => client.close());
}

test.each(['gateway', 'operator', 'idle', 'stranger'])(
  '%s may call what the policy says, cell by cell',
  async (name) => {
    const allowed = callers[name]?.methods ?? [];
    const expected = (method: string) => {
      const open = allowed.some(
        (pattern) => `/${pattern}` === method || method.startsWith(`/${pattern.replace('*', '')}`),
      );
      if (!open) return 'PERMISSION_DENIED';
      return REFLECTION_METHODS.includes(method) ? 'OK' : 'UNIMPLEMENTED';
    };
    for (const method of [...ALL, ...REFLECTION_METHODS]) {
      expect([method, await statusOf(transports[name]!, method)]).toEqual([method, expected(method)]);
    }
  },
);

test('without a certificate nothing but health is open', async () => {
  const transport = openTls({ ...telemetry, files: { ca: { name: 'ca', path: path('ca.crt') } } });
  for (const method of [...ALL, ...REFLECTION_METHODS]) {
    expect([method, await statusOf(transport, method)]).toEqual([method, 'UNAUTHENTICATED']);
  }
  expect(await isServing(server.address, 5000, transport)).toBe(true);
  transport.close();
});

test('a certificate of another authority that names the gateway is none', async () => {
  const forged = createAuthority('Mesh CA').issue({ commonName: 'gateway', uris: ['spiffe://gateway'] });
  write('forged.crt', forged.cert);
  write('forged.key', forged.key);
  const named = (name: string) => ({ name, path: path(name) });
  const files = { ca: named('ca.crt'), own: { cert: named('forged.crt'), key: named('forged.key') } };
  const transport = openTls({ ...telemetry, files });
  expect(await statusOf(transports.gateway!, RANK)).toBe('UNIMPLEMENTED');
  expect(await statusOf(transport, RANK)).toBe('UNAUTHENTICATED');
  transport.close();
});

test('a method that does not exist is nobody’s', async () => {
  for (const method of ['/onepass.ranking.v1.RankingService/Nothing', '/a.v1.Service/Method']) {
    expect(await statusOf(transports.gateway!, method)).toBe('UNIMPLEMENTED');
    expect(await statusOf(transports.stranger!, method)).toBe('UNIMPLEMENTED');
  }
});

test('nothing is served beside what was tried above, and health', () => {
  const health = ['Check', 'List', 'Watch'].map((method) => `/grpc.health.v1.Health/${method}`);
  expect([...served].sort()).toEqual([...ALL, ...REFLECTION_METHODS, ...health].sort());
});

test('a policy that changes is taken at once; a broken one changes nothing', async () => {
  const called = () => statusOf(transports.idle!, RANK);
  write('policy.json', '{ broken');
  const sentence = `new policy not taken: ONEPASS_POLICY: ${path('policy.json')} is not JSON`;
  await vi.waitFor(
    () => expect(warn).toHaveBeenCalledWith(expect.anything(), expect.stringContaining(sentence)),
    10_000,
  );
  expect(await called()).toBe('PERMISSION_DENIED');
  write('policy.json', policyText({ ...callers, idle: { identities: ['spiffe://idle'], methods: [RANK.slice(1)] } }));
  await vi.waitFor(async () => expect(await called()).toBe('UNIMPLEMENTED'), 10_000);
});

test('the example policy is good, and its gateway may call every method of a stage', () => {
  const example = fileURLToPath(new URL('../../../deploy/security/policy.example.json', import.meta.url));
  const { guard, close } = open({ ...tls, ONEPASS_POLICY: example });
  const { gateway: _, ...stages } = SERVICES_OF_ROLE;
  for (const method of Object.values(stages).flatMap((all) => all.flatMap((s) => s.methods.map(methodPath)))) {
    expect(guard.admit(method, { identities: ['spiffe://onepass/gateway'] }).caller.name).toBe('gateway');
    expect(() => guard.admit(method, { identities: ['spiffe://onepass/frontend'] })).toThrow('may not call');
  }
  close();
});

test('a caller at ten times its limit does not keep another one waiting', async () => {
  const methods = [RANK.slice(1)];
  const noisy = { name: 'noisy', identities: ['spiffe://idle'], methods, limits: { concurrent: 2 } };
  write(
    'noisy.json',
    JSON.stringify({ callers: [noisy, { name: 'calm', identities: ['spiffe://gateway'], methods }] }),
  );
  const limited = open({ ...tls, ONEPASS_POLICY: path('noisy.json') });
  let answer = () => {};
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const rank: Handlers<typeof RankingService>['rank'] = async (_, { caller }) => {
    if (caller.name === 'noisy') await held;
    return { releaseId: caller.name };
  };
  const one = await startServer({ ...options, services: [implement(RankingService, { rank })], ...limited });
  const [loud, calm] = ['idle', 'gateway'].map((name) => {
    return createClient(RankingService, one.address, { transport: transports[name]! });
  });
  const calls = Array.from({ length: 20 }, () => loud!.rank({}));
  const refused = await Promise.all(calls.slice(2).map((call) => call.catch(({ kind }: OnepassError) => kind)));
  expect(refused).toEqual(Array(18).fill('overloaded'));
  for (let i = 0; i < 50; i += 1) expect((await calm!.rank({})).releaseId).toBe('calm');
  answer();
  expect((await Promise.all(calls.slice(0, 2))).map(({ releaseId }) => releaseId)).toEqual(['noisy', 'noisy']);
  for (const client of [loud, calm]) client?.close();
  await one.stop(0);
  limited.close();
});

test('a handler knows its caller; over the limit the answer says when to come again', async () => {
  const limits = { requestsPerSecond: 0.5, burst: 2 };
  const entry = { name: 'gateway', identities: ['spiffe://gateway'], methods: [RANK.slice(1)], limits };
  write('limits.json', JSON.stringify({ callers: [{ ...entry, privileges: ['as_of'], highestPriority: 'batch' }] }));
  const limited = open({ ...tls, ONEPASS_POLICY: path('limits.json') });
  const rank: Handlers<typeof RankingService>['rank'] = (_, { caller, priority }) => ({
    releaseId: `${caller.name} ${priority} ${caller.may('as_of')} ${caller.may('pin_release')}`,
  });
  const one = await startServer({ ...options, services: [implement(RankingService, { rank })], ...limited });
  const client = createClient(RankingService, one.address, { transport: transports.gateway! });
  expect((await client.rank({})).releaseId).toBe('gateway batch true false');
  await client.rank({});
  const refused = await client.rank({}).catch((error: OnepassError) => error);
  expect(refused).toMatchObject({ message: 'caller "gateway" is over its limit of 0.5 calls a second' });
  const { retryAfterMs } = (refused as OnepassError).detail as { retryAfterMs: number };
  expect(retryAfterMs).toBeGreaterThan(1000);
  expect(retryAfterMs).toBeLessThanOrEqual(2000);
  client.close();
  await one.stop(0);
  limited.close();
});
