import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import { connect, user } from '@onepass/client';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, expect, test } from 'vitest';
import { callItLines } from './demo/call-it.js';
import { Mesh, repositoryRoot } from './mesh.js';

const directory = mkdtempSync(join(tmpdir(), 'onepass-mesh-tls-'));
afterAll(() => rmSync(directory, { recursive: true }));

const roles = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
const settingsOf = (name: string) => ({
  ONEPASS_TLS_CERT: join(directory, `${name}.crt`),
  ONEPASS_TLS_KEY: join(directory, `${name}.key`),
  ONEPASS_TLS_CA: join(directory, CA_FILE),
  // Other tests take the processor.
  ONEPASS_BUDGET_MS: '10000',
});
const options = { releaseDir: SMOKE_RELEASE, port: undefined, dataDir: undefined };

test('under mutual TLS and the example policy, pages are whole, and only who may pins a release or sets the time', async () => {
  const authority = createAuthority('Mesh CA');
  writeBundle(directory, [authority]);
  writeCertificates(directory, authority, [...roles, 'frontend', 'nightly-replay']);
  const policy = { ONEPASS_POLICY: join(repositoryRoot, 'deploy/security/policy.example.json') };
  const overrides = Object.fromEntries(roles.map((role) => [role, { ...settingsOf(role), ...policy }]));
  const mesh = await Mesh.prepare({ ...options, overrides });
  try {
    await mesh.start();
    const ca = join(directory, CA_FILE);
    const connectAs = (name: string) => {
      const [cert, key] = ['crt', 'key'].map((suffix) => join(directory, `${name}.${suffix}`));
      return connect(mesh.address('gateway'), { tls: { ca, cert: cert!, key: key! } });
    };
    const [frontend, replay] = [connectAs('frontend'), connectAs('nightly-replay')];
    const page = await frontend.recommend({ person: user('u'), surface: 'home' });
    expect([page.degraded, page.items.length > 0]).toEqual([[], true]);
    // What a policy grants beyond calling: which release answers, and the request's own time.
    const { releaseId } = page;
    const [pin, past] = [
      { releaseId, surface: 'home' },
      { asOfMs: 1_700_000_000_000n, surface: 'home' },
    ];
    await expect(frontend.recommend(pin)).rejects.toThrow('release_id: this caller may not pin a release');
    await expect(frontend.recommend(past)).rejects.toThrow('as_of_ms: this caller may not set the time of a request');
    expect((await replay.recommend({ ...pin, ...past })).releaseId).toBe(releaseId);
    await expect(replay.recommend({ ...pin, releaseId: 'r-none' })).rejects.toMatchObject({ kind: 'release_mismatch' });
    frontend.close();
    replay.close();
    const plaintext = connect(mesh.address('gateway'));
    await expect(plaintext.recommend({ surface: 'home' })).rejects.toThrow('it may want TLS');
    plaintext.close();
    const example = { surface: 'home', itemId: 'i', action: 'save', searchText: undefined };
    expect(callItLines(mesh.address('gateway'), example, mesh.tls)[0]).toContain(
      `grpcurl -cacert ${ca} -cert ${directory}`,
    );
  } finally {
    await mesh.stop();
  }
});

test('a mesh half configured says so before anything runs', async () => {
  const overrides = { gateway: { ONEPASS_TLS_CERT: '/none' } };
  await expect(Mesh.prepare({ ...options, overrides })).rejects.toThrow('ONEPASS_TLS_CERT without ONEPASS_TLS_KEY');
});
