import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EmbeddingType, RankRequestSchema } from '@onepass/contracts';
import { encodeEmbeddings } from '@onepass/embeddings';
import { OnepassError } from '@onepass/errors';
import { FakeEngine, type FakeGraph, type RunTerms, type Tensors } from '@onepass/inference';
import { KV_POOL_FILE, KvPoolWriter, poolBytes, type SlotState } from '@onepass/kv';
import { type Manifest, Vocabulary } from '@onepass/release';
import { createSharedMemory } from '@onepass/shared-memory';
import { Measurements } from '@onepass/telemetry';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { KvDoor } from './kv-door.js';
import { RankGraph } from './rank-graph.js';
import { type RankingParts, rank } from './ranking-service.js';
import { servedModel } from './served-model.js';
import { SharedRanker } from './shared-ranker.js';

const PERSON = 'a'.repeat(32);
const cellDir = mkdtempSync(join(tmpdir(), 'onepass-ranking-service-'));
afterAll(() => rmSync(cellDir, { recursive: true }));

const manifest = {
  model: { width: 2, layers: 1, window: 6, contextRows: 2, maxCandidates: 4, itemDimension: 2 },
  vocabulary: {
    actions: [
      { name: 'click', negative: false, utilityWeight: 1 },
      { name: 'hide', negative: true, utilityWeight: -2 },
    ],
    surfaces: ['home', 'related'],
    requestFeatures: ['hour', 'age'],
  },
  tokens: { dailyPeriodsMs: [86_400_000], deltaScale: 20 },
  budgets: {},
} as unknown as Manifest;
const served = servedModel({ id: 'r-1', manifest, vocabulary: new Vocabulary(manifest) });
const { features } = served.layout;

const NOT_A_NUMBER = -999;

/** click = first number of the candidate + sum of the past's keys, hide = second number + context rows. */
function score({ candidates, past_key_0, context }: Tensors, { probabilities }: Tensors): void {
  const past = past_key_0!.data.reduce((a, b) => a + b, 0);
  for (let k = 0; k < candidates!.shape[0]!; k++) {
    const first = candidates!.data[2 * k]!;
    probabilities!.data[2 * k] = first === NOT_A_NUMBER ? Number.NaN : first + past;
    probabilities!.data[2 * k + 1] = candidates!.data[2 * k + 1]! + context!.shape[0]!;
  }
}

let seen: Tensors;
let during: () => void | Promise<void>;
const rankGraph: FakeGraph = {
  inputs: [
    { name: 'context', shape: ['c', features] },
    { name: 'context_positions', shape: ['c'] },
    { name: 'candidates', shape: ['k', 2] },
    { name: 'candidate_row', shape: [1, features - 2] },
    { name: 'candidate_position', shape: [1] },
    { name: 'past_key_0', shape: ['p', 2] },
    { name: 'past_value_0', shape: ['p', 2] },
  ],
  outputs: [{ name: 'probabilities', shape: ['k', 2] }],
  async run(inputs, outputs) {
    seen = inputs;
    await during();
    score(inputs, outputs);
  },
};

let writer: KvPoolWriter;
let parts: RankingParts;

beforeEach(async () => {
  during = () => {};
  writer = createPool('p-1');
  const engine = new FakeEngine({ 'rank.onnx': rankGraph }, 2);
  const measurements = new Measurements();
  const graph = await RankGraph.load(engine, 'rank.onnx', served);
  const ranker = new SharedRanker({ engine, graph, kv: new KvDoor(cellDir, served), measurements });
  parts = { served, ranker, measurements };
});

function createPool(poolId: string): KvPoolWriter {
  const memory = createSharedMemory(join(cellDir, KV_POOL_FILE), poolBytes(served.kvShape, 2));
  return KvPoolWriter.create(memory, {
    shape: served.kvShape,
    slots: 2,
    releaseId: 'r-1',
    poolId,
    restMs: 0,
    now: () => 0,
  });
}

function fill(length: number, value: number) {
  const state = writer.allocate(PERSON, length) as SlotState;
  writer.tensors(state).keys[0]!.fill(value, 0, length * 2);
  writer.publish(state, { length, sequence: length, hash: 0n });
  writer.release(state);
  return writer.reference(state);
}

/** Fields of a request over sensible ones; tests of refusals need wrong ones. */
type Ask = Readonly<Record<string, unknown>>;
const batch = (rows: number[][], type: EmbeddingType.F32 | EmbeddingType.F16 | EmbeddingType.I8 = EmbeddingType.F32) =>
  encodeEmbeddings(Float32Array.from(rows.flat()), 2, type);
const context = { surface: 'home', nowMs: 1_000_000n, previousMs: 400_000n };
const empty = { releaseId: 'r-1' };
function run(ask: Ask, terms?: RunTerms) {
  const fields = { context, ...ask } as MessageInitShape<typeof RankRequestSchema>;
  return rank(parts, create(RankRequestSchema, fields), terms);
}

function numbers(bytes: Uint8Array): number[] {
  return [...new Float32Array(Uint8Array.from(bytes).buffer)];
}

test('one run scores all candidates over the slot in place, context behind the past, candidates behind it', async () => {
  const embeddings = batch([
    [5, 5],
    [6, 6],
  ]);
  const answer = await run({
    kv: fill(3, 10),
    context: { ...context, embeddings },
    candidates: batch([
      [1, 2],
      [3, 4],
    ]),
  });
  expect(numbers(answer.probabilities)).toEqual([61, 4, 63, 6]);
  expect(numbers(answer.utilities)).toEqual([61 - 8, 63 - 12]);
  expect(answer.actions).toEqual(['click', 'hide']);
  expect([...seen.context_positions!.data]).toEqual([3, 4]);
  expect([...seen.candidate_position!.data]).toEqual([5]);
  expect(seen.past_key_0!.data.buffer.byteLength).toBe(poolBytes(served.kvShape, 2) - poolBytes(served.kvShape, 1));
  // Seconds since the last action, as the input row has them.
  expect(seen.candidate_row!.data[served.layout.timeColumn]).toBeCloseTo(Math.log1p(600) / 20, 6);
  expect(parts.measurements.snapshot()).toMatchObject({
    'onepass.inference.run.duration.count{onepass.graph="rank"}': 1,
    'onepass.rank.candidates': 2,
  });
});

test.each([EmbeddingType.F16, EmbeddingType.I8] as const)('takes candidates of type %s', async (type) => {
  const { probabilities } = await run({ kv: empty, candidates: batch([[1, -1]], type) });
  expect(numbers(probabilities)[0]).toBeCloseTo(1, 2);
  expect(numbers(probabilities)[1]).toBeCloseTo(0, 2);
});

test('every context row carries the features of the request', async () => {
  const embeddings = batch([
    [5, 5],
    [6, 6],
  ]);
  const asked = { ...context, embeddings, features: { age: 40 } };
  await run({ kv: empty, context: asked, candidates: batch([[1, 2]]) });
  const rows = seen.context!.data;
  const { requestFeatureColumn } = served.layout;
  for (const row of [rows.subarray(0, features), rows.subarray(features)]) {
    expect([...row.subarray(requestFeatureColumn)]).toEqual([0, 40, 0, 1]);
  }
  expect([...seen.candidate_row!.data.subarray(-4)]).toEqual([0, 0, 0, 0]);
});

test('no candidates, no run', async () => {
  const answer = await run({ kv: empty });
  expect([answer.probabilities.length, answer.utilities.length]).toEqual([0, 0]);
  expect(Object.keys(parts.measurements.snapshot()).filter((name) => name.includes('duration'))).toEqual([]);
});

test('KV that changes under the run is a miss, never a score', async () => {
  const kv = fill(2, 1);
  during = () => writer.retire(PERSON);
  await expect(run({ kv, candidates: batch([[1, 1]]) })).rejects.toMatchObject({ kind: 'kv_miss' });
  during = () => {};
  await expect(run({ kv, candidates: batch([[1, 1]]) })).rejects.toMatchObject({ kind: 'kv_miss' });
  expect(parts.measurements.snapshot()['onepass.kv.misses']).toBe(2);
});

test('an append under the run changes nothing', async () => {
  const kv = fill(2, 1);
  during = () => {
    const state = writer.lookup(PERSON)!;
    writer.tensors(state).keys[0]!.fill(100, 4, 6);
    writer.publish(state, { length: 3, sequence: 3, hash: 0n });
  };
  const { probabilities } = await run({ kv, candidates: batch([[1, 1]]) });
  expect(numbers(probabilities)).toEqual([5, 2]);
});

test('a pool made anew under a run stays mapped until the run is over', async () => {
  const old = fill(2, 1);
  const candidates = batch([[1, 1]]);
  during = async () => {
    during = () => {};
    writer = createPool('p-2');
    expect(numbers((await run({ kv: fill(2, 7), candidates })).probabilities)).toEqual([29, 2]);
  };
  expect(numbers((await run({ kv: old, candidates })).probabilities)).toEqual([5, 2]);
  await expect(run({ kv: old, candidates })).rejects.toMatchObject({ kind: 'kv_miss' });
});

test('a number that is not finite takes the utility of its own candidate only', async () => {
  const { utilities } = await run({
    kv: fill(1, 0),
    candidates: batch([
      [1, 2],
      [NOT_A_NUMBER, 1],
      [4, 5],
    ]),
    utilityWeights: { click: 2, hide: 0 },
  });
  expect(numbers(utilities)).toEqual([2, Number.NaN, 8]);
});

test.each<[string, Ask, string]>([
  ['no kv', {}, 'kv: is required'],
  ['no context', { kv: empty, context: undefined }, 'context: is required'],
  ['an unknown surface', { context: { ...context, surface: 'moon' } }, 'context.surface: "moon" is not one of'],
  [
    'a feature that the release does not declare',
    { context: { ...context, features: { mood: 1 } } },
    'context.features["mood"]: is not a request feature',
  ],
  [
    'a feature that is NaN',
    { context: { ...context, features: { age: Number.NaN } } },
    'context.features["age"]: must be a finite number',
  ],
  ['no time', { context: { ...context, nowMs: 0n } }, 'context.now_ms: must be'],
  [
    'a past without the time of its last action',
    { kv: { ...empty, length: 1 }, context: { surface: 'home', nowMs: 1n } },
    'context.previous_ms: is required',
  ],
  [
    'too many context rows',
    {
      context: {
        ...context,
        embeddings: batch([
          [1, 1],
          [1, 1],
          [1, 1],
        ]),
      },
    },
    'context.embeddings: holds 3 rows',
  ],
  [
    'a context embedding of another dimension',
    { context: { ...context, embeddings: { ...batch([[1, 1]]), dimension: 3 } } },
    'context.embeddings.dimension: must be 2',
  ],
  [
    'candidates of another dimension',
    { candidates: { ...batch([[1, 1]]), dimension: 4 } },
    'candidates.dimension: must be 2',
  ],
  [
    'half a candidate',
    { candidates: { ...batch([[1, 1]]), values: new Uint8Array(7) } },
    'candidates.values: must be whole rows of 8 bytes',
  ],
  [
    'a candidate that is NaN',
    {
      candidates: batch([
        [1, 1],
        [Number.NaN, 1],
      ]),
    },
    'candidates.values: row 1 holds a number that is not finite',
  ],
  [
    'too many candidates',
    { candidates: batch(Array(5).fill([1, 1])) },
    'candidates: holds 5 rows, the release ranks at most 4',
  ],
  ['a weight that is NaN', { utilityWeights: { click: Number.NaN } }, 'utility_weights["click"]: must be a number'],
  ['a weight of no action', { utilityWeights: { buy: 1 } }, 'utility_weights["buy"]: is not an action of the release'],
])("%s is refused by the field's name", async (name, ask, sentence) => {
  const kv = name === 'no kv' ? {} : { kv: empty };
  await expect(run({ candidates: batch([[1, 1]]), ...kv, ...ask })).rejects.toMatchObject({
    kind: 'invalid_argument',
    message: expect.stringContaining(sentence),
  });
});

test('another release is refused before anything else of the request is looked at', async () => {
  const ask = { kv: { releaseId: 'r-2' }, candidates: { ...batch([[1, 1]]), dimension: 9 } };
  await expect(run(ask)).rejects.toMatchObject({
    kind: 'release_mismatch',
    detail: { expected: 'r-1', actual: 'r-2' },
  });
});

test('an aborted call never runs', async () => {
  await expect(run({ kv: empty, candidates: batch([[1, 1]]) }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    kind: 'cancelled',
  });
});

test('of calls cancelled while they wait none is scored', async () => {
  let runs = 0;
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  during = () => {
    runs += 1;
    return opened;
  };
  const gone = new AbortController();
  const reason = new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
  const ask = { kv: empty, candidates: batch([[1, 2]]) };
  const calls = Array.from({ length: 100 }, (_, i) =>
    run(ask, i % 2 === 0 ? {} : { signal: gone.signal }).catch((error) => error),
  );
  gone.abort(reason);
  open();
  const ends = await Promise.all(calls);
  // The second call was under way already.
  expect(ends.filter((end) => end === reason)).toHaveLength(49);
  expect(runs).toBe(51);
});
