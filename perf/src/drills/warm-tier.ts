import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, type EncodeResponse, KvSource, UserEncoderService } from '@onepass/contracts';
import { OnepassError, startupError } from '@onepass/errors';
import { Mesh, repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { HABITS } from '../page.js';
import { personId, writeHistories } from '../people.js';
import { median } from '../statistics.js';
import type { Drill, DrillTerms } from './drill.js';
import { startRedisServer } from './redis-server.js';

const PEOPLE = 48;
const ROUNDS = 3;
const SMOKE = { people: 4, rounds: 1 };
const PATIENCE_MS = 60_000;
const LOOK_MS = 50;

/** Stores and codecs that are tried, and the end of their numbers' names. */
const VARIANTS = [
  { tier: 'disk', codec: 'f32', name: '' },
  { tier: 'disk', codec: 'f16', name: '_f16' },
  { tier: 'disk', codec: 'i8', name: '_i8' },
  { tier: 'redis', codec: 'f32', name: '_redis' },
] as const;
type Variant = (typeof VARIANTS)[number];

export const warmTier: Drill = {
  name: 'warm-tier',
  says: 'kills a user-encoder with SIGKILL, and measures how soon people’s KV is back from each warm tier, beside encoding it',
  run: async (terms) => {
    const folder = mkdtempSync(join(tmpdir(), 'onepass-drill-warm-'));
    const redis = await startRedisServer(folder);
    try {
      return await tryAll(folder, redis.url, terms);
    } finally {
      await redis.kill();
      rmSync(folder, { recursive: true });
    }
  },
};

async function tryAll(folder: string, redis: string, { smoke, progress }: DrillTerms): Promise<Record<string, number>> {
  const { people, rounds } = smoke ? SMOKE : { people: PEOPLE, rounds: ROUNDS };
  const releaseDir = join(repositoryRoot, 'releases', 'default');
  const release = await loadRelease(releaseDir);
  const encoder: Record<string, string> = {
    ONEPASS_KV_SLOTS: String(people + 4),
    ONEPASS_WARM_REDIS: redis,
    ONEPASS_WARM_WRITE_MIB_S: '1000',
  };
  const overrides = { 'user-encoder': encoder };
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: folder, overrides, backOff: () => 0 });
  try {
    await mesh.start();
    const nowMs = Date.now();
    const histories = { count: people, length: release.manifest.model.window, nowMs };
    await writeHistories(mesh.address('gateway'), (await openItems(release)).ids, HABITS, histories);
    const cell = new Cell(mesh, { people, releaseId: release.id, nowMs });
    const numbers: Record<string, number> = {};
    const variants = VARIANTS.filter(({ name }) => !smoke || name === '');
    const found = new Map(variants.map((variant) => [variant, { ratios: [] as number[], back: 0, asked: 0 }]));
    for (let round = 0; round < rounds; round++) {
      for (const variant of variants) {
        const seen = found.get(variant)!;
        const one = await tryVariant(cell, encoder, variant);
        seen.ratios.push(one.ratio);
        seen.back += one.back;
        seen.asked += people;
        progress(`round ${round + 1}, ${variant.tier} ${variant.codec}: ${one.says}`);
      }
    }
    for (const [{ name }, { ratios, back, asked }] of found) {
      numbers[`warm_restore_ratio${name}`] = median(ratios);
      numbers[`warm_after_kill_share${name}`] = back / asked;
    }
    cell.close();
    return numbers;
  } finally {
    await mesh.stop();
  }
}

/** Everybody is encoded and written, the process dies, everybody is brought back; then encoded anew once more, in a process without the tier. */
async function tryVariant(cell: Cell, encoder: Record<string, string>, { tier, codec }: Variant) {
  Object.assign(encoder, { ONEPASS_WARM_TIER: 'off', ONEPASS_WARM_CODEC: codec });
  await cell.kill();
  const anew = await cell.encodeAll();
  const held = await cell.encodeAll();
  encoder.ONEPASS_WARM_TIER = tier;
  await cell.kill();
  const before = await cell.encodeAll();
  await cell.written(before.filter(({ kvSource }) => kvSource === KvSource.RECOMPUTE).length);
  await cell.kill();
  const back = await cell.encodeAll();
  const restored = back.filter(({ kvSource }) => kvSource === KvSource.TIER);
  if (restored.length === 0)
    throw startupError(`nobody's KV came back from the warm tier (${tier}, ${codec}): the user-encoder's log says why`);
  const recomputeMs = stageMs(anew, 'encode') - stageMs(held, 'encode');
  const restoreMs = stageMs(restored, 'restore');
  return {
    ratio: restoreMs / recomputeMs,
    back: restored.length,
    says: `restored in ${restoreMs.toFixed(2)} ms, encoded in ${recomputeMs.toFixed(2)} ms, ${restored.length} of ${back.length} came back`,
  };
}

/** Median time that a stage took, in ms. */
function stageMs(answers: readonly EncodeResponse[], stage: string): number {
  return median(answers.map(({ stages }) => (stages.find((one) => one.stage === stage)?.micros ?? 0) / 1000));
}

interface CellTerms {
  readonly people: number;
  readonly releaseId: string;
  readonly nowMs: number;
}

/** The user-encoder, asked directly, and killed. */
class Cell {
  readonly #mesh: Mesh;
  readonly #terms: CellTerms;
  readonly #client;

  constructor(mesh: Mesh, terms: CellTerms) {
    this.#mesh = mesh;
    this.#terms = terms;
    this.#client = createClient(UserEncoderService, mesh.address('user-encoder'));
  }

  /** One after the other, each once. The first answers after a start are not counted: the graphs' first passes take longer. */
  async encodeAll(): Promise<EncodeResponse[]> {
    const { people } = this.#terms;
    for (let i = 0; i < 3; i++) await this.#encode(undefined);
    const answers: EncodeResponse[] = [];
    for (let person = 0; person < people; person++) answers.push(await this.#encode(personId(person)));
    return answers;
  }

  /** Resolves when so many entries were written, or were not because the tier found it not worth it or had no room. */
  written(entries: number): Promise<void> {
    return patiently(async () => {
      const { measurements } = await this.#client.describe({});
      const counts = Object.entries(measurements).filter(([name]) => /^onepass\.warm\.(writes|drops)/.test(name));
      return counts.reduce((sum, [, count]) => sum + count, 0) >= entries;
    }, 'the warm tier was not written');
  }

  /** SIGKILL; resolves when the next process answers. */
  async kill(): Promise<void> {
    const pid = this.#mesh.pids()['user-encoder'];
    if (pid === undefined) throw startupError('user-encoder does not run');
    process.kill(pid, 'SIGKILL');
    await patiently(async () => {
      if (this.#mesh.pids()['user-encoder'] === pid) return false;
      return await this.#client.describe({}).then(
        () => true,
        (thrown) => {
          if (OnepassError.from(thrown).kind !== 'unavailable') throw thrown;
          return false;
        },
      );
    }, 'user-encoder did not come back');
  }

  close(): void {
    this.#client.close();
  }

  #encode(person: string | undefined): Promise<EncodeResponse> {
    const { releaseId, nowMs } = this.#terms;
    return this.#client.encode({
      releaseId,
      ...(person !== undefined && { person: { id: { case: 'userId', value: person } } }),
      context: { surface: HABITS.surface, nowMs: BigInt(nowMs) },
      queries: [{ outcome: 'any' }],
    });
  }
}

async function patiently(holds: () => Promise<boolean>, problem: string): Promise<void> {
  const begun = performance.now();
  while (!(await holds())) {
    if (performance.now() - begun > PATIENCE_MS) throw startupError(problem);
    await delay(LOOK_MS);
  }
}
