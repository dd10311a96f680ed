import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type OnepassClient, OnepassError, user } from '@onepass/client';
import { startupError } from '@onepass/errors';
import { Mesh, repositoryRoot } from '@onepass/local';
import { HABITS } from '../page.js';
import { personId, writeHistories } from '../people.js';
import { median } from '../statistics.js';
import type { Drill } from './drill.js';

const ROLES = ['user-encoder', 'ranking', 'retrieval', 'gateway'] as const;
const ROUNDS = 5;
const PEOPLE = 16;
const HISTORY = 40;
/** Light load: one page after the other, so often. */
const EVERY_MS = 20;
/** That it is whole again, not whole once. */
const WHOLE_IN_A_ROW = 10;
/** Between kills: the supervisor takes who lived so long for steady, and starts its waiting anew. */
const STEADY_MS = 10_500;
const GIVEN_UP_MS = 60_000;

export const recovery: Drill = {
  name: 'recovery',
  says: 'kills each process with SIGKILL under light load: seconds until whole pages are served again',
  run: async ({ smoke, progress }) => {
    const release = smoke ? 'libs/testing/fixtures/release-smoke' : 'releases/default';
    const mesh = await Mesh.prepare({ releaseDir: join(repositoryRoot, release), port: undefined, dataDir: undefined });
    try {
      await mesh.start();
      const onepass = connect(mesh.address('gateway'));
      try {
        return await killEach(mesh, onepass, { smoke, progress });
      } finally {
        onepass.close();
      }
    } finally {
      await mesh.stop();
    }
  },
};

async function killEach(
  mesh: Mesh,
  onepass: OnepassClient,
  { smoke, progress }: { smoke: boolean; progress(line: string): void },
): Promise<Record<string, number>> {
  const page = await onepass.recommend({ surface: 'home', pageSize: 50 });
  const itemIds = page.items.map((item) => item.itemId);
  const many = { count: PEOPLE, length: HISTORY, nowMs: Date.now() };
  await writeHistories(mesh.address('gateway'), itemIds, HABITS, many);
  const medians: Record<string, number> = {};
  for (const role of ROLES) {
    const seconds: number[] = [];
    for (let round = 0; round < (smoke ? 1 : ROUNDS); round++) {
      await untilWhole(onepass);
      if (!smoke) await delay(STEADY_MS);
      const pid = mesh.pids()[role];
      if (pid === undefined) throw startupError(`${role} does not run`);
      const killed = performance.now();
      process.kill(pid, 'SIGKILL');
      seconds.push((await untilWhole(onepass)) - killed / 1000);
      if (mesh.pids()[role] === pid) throw startupError(`${role} was not killed`);
    }
    progress(`${role}: ${seconds.map((s) => s.toFixed(2)).join(', ')} s`);
    medians[`recovery_seconds_${role.replace('-', '_')}`] = median(seconds);
  }
  return { recovery_seconds: Math.max(...Object.values(medians)), ...medians };
}

/** Answers when the first of ten whole pages in a row came, in seconds of the monotonic clock. */
async function untilWhole(onepass: OnepassClient): Promise<number> {
  const begun = performance.now();
  let inARow = 0;
  let first = 0;
  for (let asked = 0; inARow < WHOLE_IN_A_ROW; asked++) {
    if (performance.now() - begun > GIVEN_UP_MS) throw startupError('pages do not become whole again');
    const whole = await isWhole(onepass, personId(asked % PEOPLE));
    if (whole && inARow === 0) first = performance.now() / 1000;
    inARow = whole ? inARow + 1 : 0;
    await delay(EVERY_MS);
  }
  return first;
}

async function isWhole(onepass: OnepassClient, person: string): Promise<boolean> {
  try {
    return (await onepass.recommend({ person: user(person), surface: 'home' })).degraded.length === 0;
  } catch (thrown) {
    if (!['unavailable', 'deadline_exceeded', 'overloaded'].includes(OnepassError.from(thrown).kind)) throw thrown;
    return false;
  }
}
