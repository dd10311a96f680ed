import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import { connect, user } from '@onepass/client';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, expect, test } from 'vitest';
import { callItLines } from './demo/call-it.js';
import { Mesh } from './mesh.js';

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

test('under mutual TLS, each process with a certificate of its own, pages are whole', async () => {
  const authority = createAuthority('Mesh CA');
  writeBundle(directory, [authority]);
  writeCertificates(directory, authority, [...roles, 'frontend']);
  const overrides = Object.fromEntries(roles.map((role) => [role, settingsOf(role)]));
  const mesh = await Mesh.prepare({ ...options, overrides });
  try {
    await mesh.start();
    const [ca, cert, key] = [CA_FILE, 'frontend.crt', 'frontend.key'].map((name) => join(directory, name));
    const onepass = connect(mesh.address('gateway'), { tls: { ca: ca!, cert: cert!, key: key! } });
    const page = await onepass.recommend({ person: user('u'), surface: 'home' });
    expect([page.degraded, page.items.length > 0]).toEqual([[], true]);
    onepass.close();
    const plaintext = connect(mesh.address('gateway'));
    await expect(plaintext.recommend({ surface: 'home' })).rejects.toThrow('it may want TLS');
    plaintext.close();
    expect(callItLines(mesh.address('gateway'), 'i', mesh.tls)[0]).toContain(
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
