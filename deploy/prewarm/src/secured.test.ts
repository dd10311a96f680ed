import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import { connect, KvSource, user } from '@onepass/client';
import { Mesh } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { hasNoRedis, SMOKE_RELEASE, startTestRedis, type TestRedis } from '@onepass/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { prewarmCommand } from './command.suite.js';

const PEOPLE = ['ada', 'bea', 'cat'];
const ROLES = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
const OPERATOR = 'operator';

const root = mkdtempSync(join(tmpdir(), 'onepass-prewarm-tls-'));
const tlsOf = (name: string) => ({
  ONEPASS_TLS_CERT: join(root, `${name}.crt`),
  ONEPASS_TLS_KEY: join(root, `${name}.key`),
  ONEPASS_TLS_CA: join(root, CA_FILE),
});

describe.skipIf(hasNoRedis())('cells under mutual TLS, whose histories lie in Redis', () => {
  let redis: TestRedis;
  let mesh: Mesh;
  let place: { readonly ONEPASS_HISTORY: string };
  beforeAll(async () => {
    const authority = createAuthority('Mesh CA');
    writeBundle(root, [authority]);
    writeCertificates(root, authority, [...ROLES, OPERATOR]);
    redis = await startTestRedis({ appendonly: 'yes', appendfsync: 'always', 'maxmemory-policy': 'noeviction' });
    place = { ONEPASS_HISTORY: `redis://127.0.0.1:${redis.port}` };
    // Other tests take the processor.
    const own = { ...place, ONEPASS_BUDGET_MS: '30000' };
    const overrides = Object.fromEntries(ROLES.map((role) => [role, { ...own, ...tlsOf(role) }]));
    mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir: join(root, 'data'), overrides });
    await mesh.start();
  });
  afterAll(async () => {
    await mesh?.stop();
    await redis?.remove();
    rmSync(root, { recursive: true, force: true });
  });

  const command = (env: Readonly<Record<string, string>>) => {
    const { encoder, ranking } = mesh.cells[0]!;
    const cells = `encoder=${encoder},ranking=${ranking}`;
    return prewarmCommand(['--release', SMOKE_RELEASE, '--cells', cells], env);
  };

  test('the command finds who was active there, and the first page of everybody finds their KV', async () => {
    const { ids } = await openItems(await loadRelease(SMOKE_RELEASE));
    const { ONEPASS_TLS_CA: ca, ONEPASS_TLS_CERT: cert, ONEPASS_TLS_KEY: key } = tlsOf(OPERATOR);
    const onepass = connect(mesh.address('gateway'), { tls: { ca, cert, key } });
    try {
      for (const person of PEOPLE) {
        const events = ids
          .slice(0, 4)
          .map((itemId) => ({ eventId: itemId, itemId, actions: ['click'], surface: 'home' }));
        await onepass.logActions({ person: user(person), events });
      }
      const { code, output } = await command({ ...place, ...tlsOf(OPERATOR) });
      expect(output).toMatch(/3 of 3 active people/);
      expect(code).toBe(0);
      for (const person of PEOPLE) {
        const { kvSource, degraded } = await onepass.recommend({ person: user(person), surface: 'home' });
        expect([kvSource, degraded]).toEqual([KvSource.SLOT, []]);
      }
    } finally {
      onepass.close();
    }
  });

  test('without a certificate, and where Redis is not, it ends with one sentence', async () => {
    const plaintext = await command(place);
    expect(plaintext.code).toBe(1);
    expect(plaintext.output.trim().split('\n')).toEqual([expect.stringContaining('does not say what it serves')]);
    const nowhere = await command({ ...tlsOf(OPERATOR), ONEPASS_HISTORY: 'redis://127.0.0.1:1' });
    expect(nowhere.code).toBe(1);
    expect(nowhere.output.trim().split('\n')).toEqual([expect.stringMatching(/^ONEPASS_HISTORY: .* cannot be used: /)]);
  });
});
