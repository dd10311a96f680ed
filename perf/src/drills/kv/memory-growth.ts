import { join } from 'node:path';
import { connect, user } from '@onepass/client';
import { connectTo, seededRandom, UserEncoderService } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { KV_POOL_FILE, kvBytes, kvShape } from '@onepass/kv';
import { Mesh } from '@onepass/local';
import { loadRelease, openItems, type Release } from '@onepass/release';
import { residentMiB } from '../../machine.js';
import { HABITS } from '../../page.js';
import { kvMemory, watchKvMemory } from './file-memory.js';
import { historyLengths } from './history-lengths.js';

export interface GrowthTerms {
  readonly releaseDir: string;
  /** Memory for KV. */
  readonly mib: number;
  /** Times that all people come, one after the other in another order each time. */
  readonly passes: number;
  progress(line: string): void;
}

export interface Growth {
  /** Of the pool file's memory from the first pass to the last, to what it was. */
  readonly pool: number;
  /**
   * Of the most that the user-encoder has in RAM: in the last half of the passes to the first half. A heap that is collected from time to time goes up and
   * down by a tenth, and a young one grows to its size in the first passes.
   */
  readonly resident: number;
  /** Most memory that the file took beside its headers, to `mib`. */
  readonly capShare: number;
}

/** People who come, to those who would fit if they were full: about ten times as many as are held, since not all are. */
const TIMES = 15;
/** The encodes here take no longer than this, in ms. */
const REST_MS = 20;
const SLOTS = 4_096;
const MIB = 2 ** 20;
const MINUTE_MS = 60_000;
/** At one time, as a gateway's would come. */
const CALLERS = 4;

/** Ten times more people than fit come through a real user-encoder, again and again. */
export async function memoryGrowth({ releaseDir, mib, passes, progress }: GrowthTerms): Promise<Growth> {
  const release = await loadRelease(releaseDir);
  const shape = kvShape(release.manifest.model);
  const people = TIMES * Math.floor((mib * MIB) / kvBytes(shape, shape.capacity));
  const settings = { ONEPASS_KV_SLOTS: SLOTS, ONEPASS_KV_MIB: mib, ONEPASS_KV_REST_MS: REST_MS };
  const texts = Object.entries(settings).map(([name, value]) => [name, String(value)]);
  const overrides = { 'user-encoder': Object.fromEntries(texts) };
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined, overrides });
  try {
    await mesh.start();
    const pool = join(cellDirOf(mesh), KV_POOL_FILE);
    await writeHistories(mesh, release, people);
    const encode = encoder(mesh, release);
    const watch = watchKvMemory(pool, shape, SLOTS);
    const random = seededRandom(2);
    const seen: { pool: number; resident: number }[] = [];
    for (let pass = 0; pass < passes; pass++) {
      await inTurn(shuffled(people, random), encode.call);
      const pid = mesh.pids()['user-encoder'] ?? 0;
      seen.push({ pool: kvMemory(pool, shape, SLOTS), resident: residentMiB(pid) });
    }
    watch.end();
    encode.close();
    const [first, last] = [seen[0]!, seen.at(-1)!];
    progress(
      `${people} people through ${mib} MiB, ${passes} times: pool ${(first.pool / MIB).toFixed(1)} MiB, then ${(last.pool / MIB).toFixed(1)}; user-encoder ${seen.map(({ resident }) => resident).join(', ')} MiB`,
    );
    return {
      pool: last.pool / first.pool - 1,
      resident: peak(seen.slice(passes / 2)) / peak(seen.slice(0, passes / 2)) - 1,
      capShare: watch.most() / (mib * MIB),
    };
  } finally {
    await mesh.stop();
  }
}

const peak = (seen: readonly { readonly resident: number }[]) => Math.max(...seen.map(({ resident }) => resident));

function cellDirOf(mesh: Mesh): string {
  const folder = mesh.plans.find(({ service }) => service === 'user-encoder')?.env.ONEPASS_CELL_DIR;
  if (folder === undefined) throw startupError('the mesh has no folder of a cell');
  return folder;
}

const personId = (person: number) => `growth-${person}`;

/** As many actions as people have, an hour ago and before. */
async function writeHistories(mesh: Mesh, release: Release, people: number): Promise<void> {
  const { ids } = await openItems(release);
  const onepass = connect(mesh.address('gateway'));
  const random = seededRandom(1);
  const { window } = release.manifest.model;
  const lengths = historyLengths(people, 1).map((actions) => Math.min(actions, window));
  const end = Date.now() - 60 * MINUTE_MS;
  try {
    for (const [person, length] of lengths.entries()) {
      const events = Array.from({ length }, (_, i) => ({
        eventId: `${i}`,
        itemId: ids[Math.floor(random() * ids.length)] ?? '',
        actions: [...HABITS.usual],
        surface: HABITS.surface,
        timeMs: BigInt(end - (length - i) * MINUTE_MS),
      }));
      await onepass.logActions({ person: user(personId(person)), events });
    }
  } finally {
    onepass.close();
  }
}

/** Brings a person's KV up to their history. */
function encoder(mesh: Mesh, release: Release): { call(person: number): Promise<unknown>; close(): void } {
  const connection = connectTo(mesh.address('user-encoder'));
  const client = connection.client(UserEncoderService);
  return {
    call: (person) =>
      client.encode({
        releaseId: release.id,
        person: user(personId(person)),
        context: { surface: HABITS.surface, nowMs: BigInt(Date.now()) },
      }),
    close: () => connection.close(),
  };
}

async function inTurn(people: readonly number[], call: (person: number) => Promise<unknown>): Promise<void> {
  const waiting = [...people];
  const caller = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await call(next);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

function shuffled(count: number, random: () => number): number[] {
  return Array.from({ length: count }, (_, person) => ({ person, by: random() }))
    .sort((a, b) => a.by - b.by)
    .map(({ person }) => person);
}
