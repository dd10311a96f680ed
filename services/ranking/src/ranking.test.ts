import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '@onepass/config';
import { createClient, EmbeddingType, KvSource, openEdge, RankingService, type RunningRole } from '@onepass/contracts';
import { createEngine, type Graph, type InferenceEngine } from '@onepass/inference';
import { KV_POOL_FILE, KvPoolWriter, type KvReference, kvShape, poolBytes, type SlotState } from '@onepass/kv';
import { type Items, loadRelease, openItems, type Release } from '@onepass/release';
import { createSharedMemory } from '@onepass/shared-memory';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRanking } from './index.js';
import { rankingSettings } from './settings.js';

interface VectorRequest {
  readonly surface: string;
  readonly nowMs: number;
  readonly features?: Readonly<Record<string, number>>;
  readonly contextEmbedding: readonly number[];
  readonly candidates: readonly string[];
  readonly probabilities: readonly (readonly number[])[];
}
interface VectorHistory {
  readonly name: string;
  readonly rows: readonly (readonly number[])[];
  readonly lastTimeMs: number | null;
  readonly requests: readonly VectorRequest[];
}

const cellDir = mkdtempSync(join(tmpdir(), 'onepass-ranking-'));
const settings = readSettings(rankingSettings, {
  ONEPASS_PORT: '0',
  ONEPASS_RELEASE_DIR: SMOKE_RELEASE,
  ONEPASS_CELL_DIR: cellDir,
  ONEPASS_EXECUTION_PROVIDER: 'cpu',
  ONEPASS_LOG_LEVEL: 'silent',
  ONEPASS_DRAIN_MS: '1000',
});

let release: Release;
let items: Items;
let engine: InferenceEngine;
let encode: Graph;
let running: RunningRole;
let client: ReturnType<typeof createClient<typeof RankingService>>;
let histories: readonly VectorHistory[];
let pool: KvPoolWriter;

const edge = () => openEdge('ranking', settings);

beforeAll(async () => {
  release = await loadRelease(SMOKE_RELEASE);
  items = await openItems(release);
  engine = createEngine({ provider: 'cpu', inFlight: 1, threads: 1 });
  encode = await engine.load(release.path(release.manifest.graphs.encode));
  histories = JSON.parse(readFileSync(release.path('vectors/tokens.json'), 'utf8')).histories;
  pool = createPool('p-1');
  running = await startRanking(settings, release, await edge());
  client = createClient(RankingService, running.address);
});
afterAll(async () => {
  client.close();
  await running.stop();
  await engine.close();
  rmSync(cellDir, { recursive: true });
});

function createPool(poolId: string): KvPoolWriter {
  const shape = kvShape(release.manifest.model);
  const memory = createSharedMemory(join(cellDir, KV_POOL_FILE), poolBytes(shape, 4));
  const options = { shape, slots: 4, releaseId: release.id, poolId, restMs: 1000, now: () => performance.now() };
  return KvPoolWriter.create(memory, options);
}

/** What the user-encoder does: the history's rows through the trunk, K and V straight into a slot. */
async function encodeHistory({ name, rows, lastTimeMs }: VectorHistory): Promise<KvReference> {
  const person = Buffer.from(name.padEnd(16)).toString('hex');
  const { layers, width } = release.manifest.model;
  const n = rows.length;
  const state = pool.allocate(person, n) as SlotState;
  const { keys, values } = pool.tensors(state);
  const shape = [n, width];
  const none = { data: new Float32Array(0), shape: [0, width] };
  const perLayer = <T>(make: (layer: number) => [string, T][]) =>
    Object.fromEntries(Array.from({ length: layers }, (_, layer) => make(layer)).flat());
  await encode.run(
    {
      rows: { data: Float32Array.from(rows.flat()), shape: [n, rows[0]?.length ?? 0] },
      positions: { data: Float32Array.from(rows, (_, i) => i), shape: [n] },
      ...perLayer((l) => [
        [`past_key_${l}`, none],
        [`past_value_${l}`, none],
      ]),
    },
    {
      hidden: { data: new Float32Array(n * width), shape },
      ...perLayer((l) => [
        [`key_${l}`, { data: keys[l]!.subarray(0, n * width), shape }],
        [`value_${l}`, { data: values[l]!.subarray(0, n * width), shape }],
      ]),
    },
  );
  pool.publish(state, { length: n, sequence: n, hash: BigInt(lastTimeMs ?? 0) });
  pool.release(state);
  return pool.reference(state);
}

function reference(history: VectorHistory): Promise<Partial<KvReference>> | Partial<KvReference> {
  return history.rows.length === 0 ? { releaseId: release.id } : encodeHistory(history);
}

function batch(values: Float32Array) {
  const dimension = release.manifest.model.itemDimension;
  return { values: new Uint8Array(values.buffer), type: EmbeddingType.F32, dimension };
}

function embeddings(ids: readonly string[]) {
  const dimension = release.manifest.model.itemDimension;
  const values = new Float32Array(ids.length * dimension);
  for (const [row, id] of ids.entries()) values.set(items.embedding(items.rowOf(id)!), row * dimension);
  return batch(values);
}

function ask(history: VectorHistory, request: VectorRequest, kv: Partial<KvReference>) {
  return {
    kv,
    context: {
      surface: request.surface,
      nowMs: BigInt(request.nowMs),
      features: { ...request.features },
      ...(request.contextEmbedding.some(Boolean) && { embeddings: batch(Float32Array.from(request.contextEmbedding)) }),
      ...(history.lastTimeMs !== null && { previousMs: BigInt(history.lastTimeMs) }),
    },
    candidates: embeddings(request.candidates),
    kvSource: KvSource.RECOMPUTE,
  };
}

/** [k][A] */
function rows(bytes: Uint8Array): number[][] {
  const numbers = new Float32Array(Uint8Array.from(bytes).buffer);
  const width = release.vocabulary.actions.size;
  return Array.from({ length: numbers.length / width }, (_, row) => [
    ...numbers.subarray(row * width, (row + 1) * width),
  ]);
}

const history = (name: string) => histories.find((h) => h.name === name)!;

function expectClose(actual: number[][], expected: readonly (readonly number[])[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, row] of actual.entries()) {
    for (const [j, value] of row.entries()) expect(Math.abs(value - expected[i]![j]!)).toBeLessThan(1e-4);
  }
}

test('without a pool KV is a miss, and an empty past works', async () => {
  const alone = await startRanking({ ...settings, cellDir: join(cellDir, 'nowhere') }, release, await edge());
  const toAlone = createClient(RankingService, alone.address);
  const past = history('one');
  const miss = toAlone.rank(ask(past, past.requests[0]!, await reference(past)));
  await expect(miss).rejects.toMatchObject({
    kind: 'kv_miss',
    message: expect.stringContaining('the pool is not there'),
  });
  const empty = history('empty');
  const { probabilities } = await toAlone.rank(ask(empty, empty.requests[0]!, { releaseId: release.id }));
  expectClose(rows(probabilities), empty.requests[0]!.probabilities);
  toAlone.close();
  await alone.stop();
});

test("gives the probabilities of training's vectors over the slot, on every surface", async () => {
  for (const past of histories) {
    const kv = await reference(past);
    for (const request of past.requests) {
      const answer = await client.rank(ask(past, request, kv));
      expectClose(rows(answer.probabilities), request.probabilities);
      expect(answer).toMatchObject({
        kvSource: KvSource.RECOMPUTE,
        releaseId: release.id,
        actions: release.vocabulary.actions.names,
      });
      expect(answer.stages.map((stage) => stage.stage)).toEqual(['ranking.queue', 'ranking.run']);
      expect(answer.stages[1]!.micros).toBeGreaterThan(0);
    }
  }
});

test("a candidate's score depends on no neighbour and no order", async () => {
  const past = history('long');
  const kv = await reference(past);
  const request = past.requests[2]!;
  const all = rows((await client.rank(ask(past, request, kv))).probabilities);
  const turned = { ...request, candidates: request.candidates.toReversed() };
  expectClose(rows((await client.rank(ask(past, turned, kv))).probabilities), all.toReversed());
  for (const [i, id] of request.candidates.entries()) {
    expectClose(rows((await client.rank(ask(past, { ...request, candidates: [id] }, kv))).probabilities), [all[i]!]);
  }
});

test('utility is the weighted sum, by the defaults of the release or the weights of the request', async () => {
  const past = history('one');
  const base = ask(past, past.requests[0]!, await reference(past));
  const weights = release.manifest.vocabulary.actions.map((action) => action.utilityWeight);
  for (const [utilityWeights, inForce] of [
    [{}, weights],
    [{ [release.vocabulary.actions.names[0]!]: -3 }, [-3, ...weights.slice(1)]],
  ] as const) {
    const { probabilities, utilities } = await client.rank({ ...base, utilityWeights });
    const expected = rows(probabilities).map((row) => row.reduce((sum, p, i) => sum + p * inForce[i]!, 0));
    const actual = new Float32Array(Uint8Array.from(utilities).buffer);
    for (const [i, utility] of actual.entries()) expect(utility).toBeCloseTo(expected[i]!, 4);
  }
});

test('KV, or anything else, of another release is refused at this door', async () => {
  const past = history('one');
  const kv = { ...(await reference(past)), releaseId: 'r-000000000000' };
  const foreign = client.rank(ask(past, past.requests[0]!, kv));
  await expect(foreign).rejects.toMatchObject({
    kind: 'release_mismatch',
    message: expect.stringContaining('r-000000000000'),
  });
  await expect(client.rank(ask(past, past.requests[0]!, {}))).rejects.toMatchObject({ kind: 'release_mismatch' });
});

test('a restarted user-encoder: its new KV is read, the old is a miss', async () => {
  const past = history('long');
  const request = past.requests[0]!;
  const old = await reference(past);
  expectClose(rows((await client.rank(ask(past, request, old))).probabilities), request.probabilities);
  pool = createPool('p-2');
  const fresh = await reference(past);
  expectClose(rows((await client.rank(ask(past, request, fresh))).probabilities), request.probabilities);
  await expect(client.rank(ask(past, request, old))).rejects.toMatchObject({ kind: 'kv_miss' });
  expectClose(rows((await client.rank(ask(past, request, fresh))).probabilities), request.probabilities);
});

test('describes itself', async () => {
  const description = await client.describe({});
  expect(description).toMatchObject({
    role: 'ranking',
    releaseId: release.id,
    surfaces: release.manifest.vocabulary.surfaces,
    executionProvider: 'cpu',
    limits: { candidates: release.manifest.model.maxCandidates, window: release.manifest.model.window },
  });
  expect(Object.keys(description.measurements)).toEqual(
    expect.arrayContaining([
      'onepass.rank.candidates',
      'onepass.kv.misses',
      'onepass.inference.queued',
      'nodejs.eventloop.delay.p99',
    ]),
  );
});

test('a port in use and a graph that is not the release’s are one sentence', async () => {
  const port = Number(running.address.split(':')[1]);
  await expect(startRanking({ ...settings, port }, release, await edge())).rejects.toThrow(
    `ranking cannot listen on 127.0.0.1:${port}`,
  );
  const wrong = { ...release, path: () => release.path(release.manifest.graphs.encode) };
  await expect(startRanking(settings, wrong, await edge())).rejects.toThrow(/^graph ".*" does not run with the inputs/);
});
