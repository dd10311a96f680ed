import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { type Authority, CA_FILE, createAuthority, writeBundle, writeCertificates } from '@onepass/certificates';
import { connect, type OnepassClient, user } from '@onepass/client';
import { Mesh, repositoryRoot } from '@onepass/local';
import type { Drill } from './drill.js';

const ROLES = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
const FRONTEND = 'frontend';
const EVERY_MS = 5_000;
/** Shorter than the time between two changes of authorities, so that every connection has been made anew by then. */
const CONNECTION_AGE_MS = 4_000;
/** A page later than this counts as failed. */
const BUDGET_MS = 1_000;
/** Pages under way at one time: a load, not an overload. */
const CALLERS = 2;
const PEOPLE = 32;

export const certificates: Drill = {
  name: 'certificates',
  says: 'replaces all certificates, and once the authority, every 5 s under load: no call may fail',
  run: async ({ smoke, progress }) => {
    const directory = mkdtempSync(join(tmpdir(), 'onepass-drill-certificates-'));
    const releaseDir = join(repositoryRoot, 'releases/default');
    const steps = rotations(directory);
    steps.start();
    const overrides = Object.fromEntries(ROLES.map((role) => [role, settingsOf(role, directory)]));
    const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined, overrides });
    try {
      await mesh.start();
      const load = startLoad(mesh.address('gateway'), directory);
      const first = load.pages();
      for (const [says, rotate] of smoke ? steps.all.slice(0, 1) : steps.all) {
        await delay(EVERY_MS);
        rotate();
        progress(`${says}; ${load.pages() - first} pages so far, ${load.failures.length} failed`);
      }
      await delay(EVERY_MS);
      await load.stop();
      for (const failure of new Set(load.failures)) progress(`failed: ${failure}`);
      const stale = await staleRoles(mesh, directory);
      for (const role of stale) progress(`${role} still shows an old certificate`);
      return {
        cert_rotation_errors: load.failures.length,
        cert_rotation_stale: stale.length,
        cert_rotation_pages: load.pages(),
        cert_rotation_slowest_ms: load.slowestMs(),
      };
    } finally {
      await mesh.stop();
      rmSync(directory, { recursive: true });
    }
  },
};

function settingsOf(role: string, directory: string): Record<string, string> {
  return {
    ONEPASS_TLS_CERT: join(directory, `${role}.crt`),
    ONEPASS_TLS_KEY: join(directory, `${role}.key`),
    ONEPASS_TLS_CA: join(directory, CA_FILE),
    ONEPASS_TLS_CONNECTION_AGE_MS: String(CONNECTION_AGE_MS),
    ONEPASS_POLICY: join(repositoryRoot, 'deploy/security/policy.example.json'),
    ONEPASS_BUDGET_MS: String(BUDGET_MS),
  };
}

/** Twelve steps: certificates anew each time, but where the authority is changed, in three steps of its own. */
function rotations(directory: string) {
  const [old, next] = [createAuthority('Old CA'), createAuthority('Next CA')];
  const certificatesOf = (authority: Authority) => () => writeCertificates(directory, authority, [...ROLES, FRONTEND]);
  const leaves = (authority: Authority) => ['certificates replaced', certificatesOf(authority)] as const;
  const changeOfAuthority = [
    ['both authorities trusted', () => writeBundle(directory, [old, next])],
    ['certificates of the next authority', certificatesOf(next)],
    ['old authority trusted no more', () => writeBundle(directory, [next])],
  ] as const;
  return {
    start: () => {
      writeBundle(directory, [old]);
      certificatesOf(old)();
    },
    all: [...Array(4).fill(leaves(old)), ...changeOfAuthority, ...Array(5).fill(leaves(next))] as readonly (readonly [
      says: string,
      rotate: () => void,
    ])[],
  };
}

/** Pages and clicks on them, one after the other for each of a few callers, until stopped. */
function startLoad(address: string, directory: string) {
  const tls = {
    ca: join(directory, CA_FILE),
    cert: join(directory, `${FRONTEND}.crt`),
    key: join(directory, `${FRONTEND}.key`),
  };
  const failures: string[] = [];
  let [going, pages, slowestMs] = [true, 0, 0];
  const turn = async (onepass: OnepassClient) => {
    const person = user(`drill-${pages % PEOPLE}`);
    const started = performance.now();
    const page = await onepass.recommend({ person, surface: 'home', pageSize: 20 });
    slowestMs = Math.max(slowestMs, performance.now() - started);
    if (page.degraded.length > 0) throw new Error(`degraded: ${page.degraded.map((d) => d.detail).join('; ')}`);
    const clicked = { itemId: page.items[0]?.itemId ?? '', actions: ['click'], slateId: page.slateId };
    await onepass.logActions({ person, events: [{ eventId: page.slateId, surface: 'home', ...clicked }] });
  };
  const callers = Array.from({ length: CALLERS }, async () => {
    const onepass = connect(address, { tls });
    while (going) {
      await turn(onepass).catch((error: Error) => failures.push(error.message));
      pages += 1;
    }
    onepass.close();
  });
  return {
    failures: failures as readonly string[],
    pages: () => pages,
    slowestMs: () => slowestMs,
    stop: async () => {
      going = false;
      await Promise.all(callers);
    },
  };
}

/** The roles that show a new connection another certificate than the one in their file. */
async function staleRoles(mesh: Mesh, directory: string): Promise<readonly string[]> {
  const shown = await Promise.all(ROLES.map((role) => serialShown(mesh.address(role))));
  const current = ROLES.map((role) => new X509Certificate(readFileSync(join(directory, `${role}.crt`))).serialNumber);
  return ROLES.filter((_, i) => shown[i] !== current[i]);
}

async function serialShown(address: string): Promise<string | undefined> {
  const [host = '', port] = address.split(':');
  // Whose certificate it is, is what is asked: it is compared, not trusted.
  const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const serial = socket.getPeerX509Certificate()?.serialNumber;
  socket.destroy();
  return serial;
}
