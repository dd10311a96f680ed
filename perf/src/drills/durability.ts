import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, EventResult_Status, type OnepassClient, user } from '@onepass/client';
import { seededRandom } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { openHistory, parseStorePlace, type StoreSettings } from '@onepass/history';
import { Mesh, repositoryRoot } from '@onepass/local';
import { personKey } from '@onepass/routing';
import { median } from '../statistics.js';
import type { Drill } from './drill.js';
import { type KillableRedis, startRedisServer } from './redis-server.js';

/** Of each store. */
const ROUNDS = 100;
const SMOKE_ROUNDS = 3;
/** Callers at one time, and the people they write: several callers a person. */
const WRITERS = 8;
const PEOPLE = 4;
const KILL_WITHIN_MS = 250;
const TIMED_APPENDS = 300;
const RECOVERY_MS = 30_000;

export const durability: Drill = {
  name: 'durability',
  says: 'kills gateway and Redis with SIGKILL while actions are logged: every acknowledged one must be there',
  run: async ({ smoke, progress }) => {
    const rounds = smoke ? SMOKE_ROUNDS : ROUNDS;
    const results = [];
    for (const store of ['lmdb', 'redis'] as const) {
      const folder = mkdtempSync(join(tmpdir(), 'onepass-drill-durability-'));
      const redis = store === 'redis' ? await startRedisServer(folder) : undefined;
      try {
        results.push(await tryStore({ store, folder, redis, rounds, progress }));
      } finally {
        await redis?.kill();
        rmSync(folder, { recursive: true, force: true });
      }
    }
    const [lmdb, redis] = results as [StoreResult, StoreResult];
    return {
      acknowledged_actions_lost: lmdb.lost + redis.lost,
      durability_kills: lmdb.kills + redis.kills,
      durability_acknowledged: lmdb.acknowledged + redis.acknowledged,
      log_actions_p50_ms_lmdb: lmdb.appendMs,
      log_actions_p50_ms_redis: redis.appendMs,
    };
  },
};

interface Attempt {
  readonly store: string;
  readonly folder: string;
  readonly redis: KillableRedis | undefined;
  readonly rounds: number;
  progress(line: string): void;
}

interface StoreResult {
  /** Acknowledged actions that are gone, are there twice, or are at another place than was said. */
  readonly lost: number;
  readonly kills: number;
  readonly acknowledged: number;
  /** Median of LogActions with one action, one at a time. */
  readonly appendMs: number;
}

/** What callers were told, by person: sequence by event id. */
type Told = Map<string, Map<string, number>>;

async function tryStore({ store, folder, redis, rounds, progress }: Attempt): Promise<StoreResult> {
  const settings = { ONEPASS_HISTORY: redis?.url ?? 'lmdb' };
  const mesh = await Mesh.prepare({
    releaseDir: join(repositoryRoot, 'releases/default'),
    port: undefined,
    dataDir: folder,
    overrides: { gateway: settings, 'user-encoder': settings },
    backOff: () => 0,
  });
  try {
    await mesh.start();
    const onepass = connect(mesh.address('gateway'));
    const stores: StoreSettings = {
      history: parseStorePlace(settings.ONEPASS_HISTORY),
      historyTimeoutMs: 10_000,
      historyChecked: 'no',
      dataDir: folder,
    };
    const appendMs = await timeAppends(onepass);
    const random = seededRandom(1);
    const told: Told = new Map();
    let kills = 0;
    let lost = 0;
    for (let round = 0; round < rounds; round += 1) {
      const people = Array.from({ length: PEOPLE }, (_, i) => `durability-${round}-${i}`);
      const load = startWriters(onepass, people, told, random);
      await delay(random() * KILL_WITHIN_MS);
      kills += await killSome(mesh, redis, round);
      await load.stop();
      await redis?.start();
      await recovered(onepass);
      lost += await countLost(stores, people, told);
    }
    // What was there once must still be there.
    lost = Math.max(lost, await countLost(stores, [...told.keys()], told));
    const acknowledged = [...told.values()].reduce((sum, of) => sum + of.size, 0);
    progress(
      `${store}: ${kills} processes killed in ${rounds} rounds, ${acknowledged} actions acknowledged, ${lost} lost`,
    );
    onepass.close();
    return { lost, kills, acknowledged, appendMs };
  } finally {
    await mesh.stop();
  }
}

/** Of LMDB the gateway is killed; of Redis by turns the gateway, the server, and both. */
async function killSome(mesh: Mesh, redis: KillableRedis | undefined, round: number): Promise<number> {
  const gateway = redis === undefined || round % 3 !== 1;
  const server = redis !== undefined && round % 3 !== 0;
  const pid = mesh.pids().gateway;
  if (gateway && pid !== undefined) process.kill(pid, 'SIGKILL');
  if (server) await redis.kill();
  return Number(gateway) + Number(server);
}

/** Callers that log actions one call after the other, and keep what was acknowledged. */
function startWriters(onepass: OnepassClient, people: readonly string[], told: Told, random: () => number) {
  let stopped = false;
  for (const person of people) told.set(person, new Map());
  const write = async (writer: number) => {
    for (let call = 0; !stopped; call += 1) {
      const person = people[Math.floor(random() * people.length)]!;
      const events = Array.from({ length: 1 + (call % 3) }, (_, i) => action(`${writer}-${call}-${i}`));
      try {
        const { results } = await onepass.logActions(
          { person: user(person), events },
          { deadlineMs: Date.now() + 2_000 },
        );
        for (const { eventId, status, sequence } of results) {
          if (status !== EventResult_Status.REFUSED) told.get(person)!.set(eventId, Number(sequence));
        }
      } catch {
        // Not acknowledged: it may be there or not.
        await delay(10);
      }
    }
  };
  const all = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  return {
    stop: async () => {
      stopped = true;
      await all;
    },
  };
}

const action = (eventId: string) => ({ eventId, itemId: 'durable', actions: ['click'], surface: 'home' });

/** Those acknowledged that are not where they were said to be, those that are there twice, and gaps. */
async function countLost(stores: StoreSettings, people: readonly string[], told: Told): Promise<number> {
  const history = await openHistory(stores);
  let lost = 0;
  for (const person of people) {
    const key = personKey(user(person))!;
    const { sequence: last } = await history.head(key);
    const { events } = await history.tail(key, 0, last);
    const held = new Map(events.map(({ eventId, sequence }) => [eventId, sequence]));
    lost += events.length - held.size + events.filter(({ sequence }, i) => sequence !== i + 1).length;
    for (const [eventId, sequence] of told.get(person) ?? []) if (held.get(eventId) !== sequence) lost += 1;
  }
  await history.close();
  return lost;
}

/** Resolves when actions are taken again. */
async function recovered(onepass: OnepassClient): Promise<void> {
  for (const until = Date.now() + RECOVERY_MS; Date.now() < until; ) {
    const call = onepass.logActions({ person: user('durability-probe'), events: [action(`${until}`)] });
    if (
      await call.then(
        () => true,
        () => false,
      )
    )
      return;
    await delay(20);
  }
  throw startupError(`no action was taken within ${RECOVERY_MS / 1_000} s after a kill`);
}

async function timeAppends(onepass: OnepassClient): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < TIMED_APPENDS; i += 1) {
    const started = performance.now();
    await onepass.logActions({ person: user('durability-timed'), events: [action(`timed-${i}`)] });
    times.push(performance.now() - started);
  }
  return median(times);
}
