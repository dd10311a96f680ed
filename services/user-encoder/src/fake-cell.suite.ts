// A user-encoder over a model small enough to compute by hand, for tests.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HistoryStore, type NewEvent, openLmdbHistory } from '@onepass/history';
import { FakeEngine, type FakeGraph, type Tensors } from '@onepass/inference';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes } from '@onepass/kv';
import { unsharedMemory } from '@onepass/shared-memory';
import { Measurements, NO_SPAN, silentLogger } from '@onepass/telemetry';
import {
  type PastToken,
  pastTokens,
  type QueryTokenizer,
  queryTokens,
  rowLayout,
  tokenWeight,
  writePastRows,
} from '@onepass/tokens';
import type { WarmCodec, WarmTier } from '@onepass/warm-tier';
import type { EncodeAsk } from './encode-ask.js';
import { QueryTower } from './query-tower.js';
import { RetrievalHead } from './retrieval-head.js';
import type { ServedModel } from './served-model.js';
import { SharedTrunk } from './shared-trunk.js';
import { UserEncoder } from './user-encoder.js';
import { openTestTier } from './warm-tier.suite.js';

export const NOW = 1_800_000_000_000;
const E = 2;
const W = 3;
const LAYERS = 2;
const RELEASE = 'r-fake';
export const ITEMS = ['i0', 'i1', 'i2', 'i3', 'i4', 'i5', 'i6', 'i7'];
const ACTIONS = ['click', 'save'];
const SURFACES = ['home', 'related'];
const TOKENIZER: QueryTokenizer = { buckets: 50, seed: 1, ngrams: [3], maxTokens: 16 };

export function fakeModel(window: number): ServedModel {
  const layout = rowLayout({
    model: { itemDimension: E },
    vocabulary: { actions: ACTIONS.map((name) => ({ name })), surfaces: SURFACES, requestFeatures: ['hour'] },
    tokens: { dailyPeriodsMs: [86_400_000], deltaScale: 20 },
  });
  const indexIn = (names: readonly string[]) => (name: string) => {
    const index = names.indexOf(name);
    return index < 0 ? undefined : index;
  };
  const required = (names: readonly string[]) => (name: string, field: string) => {
    if (!names.includes(name)) throw new Error(`${field}: no ${name}`);
    return names.indexOf(name);
  };
  return {
    releaseId: RELEASE,
    layers: LAYERS,
    width: W,
    window,
    contextRows: 2,
    layout,
    world: {
      itemRow: indexIn(ITEMS),
      knowsQuery: (text) => queryTokens(text, TOKENIZER).length > 0,
      actionIndex: indexIn(ACTIONS),
      surfaceIndex: indexIn(SURFACES),
    },
    queryTokenizer: TOKENIZER,
    outcome: required([...ACTIONS, 'any']),
    outcomes: ACTIONS.length + 1,
    surface: required(SURFACES),
    embedding: (row, out = new Float32Array(E)) => {
      out.set([row + 1, 0.5 - row]);
      return out;
    },
  };
}

/** What the fake graph keeps of a row: one number of its content a column, told apart by layer and position. */
function kvOf(row: Float32Array, position: number, layer: number, kind: 'key' | 'value'): Float32Array {
  const content = row.reduce((sum, value, column) => sum + value * (column + 1), 0);
  const sign = kind === 'key' ? 1 : -1;
  return Float32Array.from({ length: W }, (_, column) => sign * (content + 100 * position + 10 * layer + column));
}

export interface FakeCell {
  readonly encoder: UserEncoder;
  readonly warmTier: WarmTier | undefined;
  readonly history: HistoryStore;
  readonly pool: KvPoolWriter;
  readonly reader: KvPoolReader;
  readonly measurements: Measurements;
  readonly model: ServedModel;
  /** Called before every encode run fills its outputs; may wait or throw. */
  beforeRun: () => void | Promise<void>;
  append(person: string, ...events: readonly NewEvent[]): Promise<void>;
  /** The K and V of all layers that the history wants behind a reference, as the reader must find them. */
  expectedKv(person: string, length: number): Promise<number[][]>;
  readKv(reference: KvReference): number[][];
  close(): Promise<void>;
}

export interface FakeCellOptions {
  readonly slots?: number;
  readonly window?: number;
  readonly restMs?: number;
  readonly inFlight?: number;
  /** Where histories and the warm tier lie, to be left there when the cell closes; absent = in a folder of its own. */
  readonly directory?: string;
  /** Of a warm tier on disk; absent = none. */
  readonly warm?: WarmCodec;
  readonly mayUseWarmTier?: () => boolean;
  /** Wraps the history that the encoder reads. */
  readonly history?: (history: HistoryStore) => HistoryStore;
}

export async function fakeCell(options: FakeCellOptions = {}): Promise<FakeCell> {
  const { slots = 4, window = 8, restMs = 0, inFlight = 4 } = options;
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'onepass-user-encoder-'));
  const history = openLmdbHistory(directory, { now: () => NOW });
  const model = fakeModel(window);
  const shape = { layers: LAYERS, width: W, capacity: window + model.contextRows };
  const memory = unsharedMemory(poolBytes(shape, slots));
  const pool = KvPoolWriter.create(memory, {
    shape,
    slots,
    restMs,
    releaseId: RELEASE,
    poolId: randomUUID(),
    now: () => performance.now(),
  });
  const reader = KvPoolReader.open(memory, { shape, releaseId: RELEASE });
  const gate = { beforeRun: (): void | Promise<void> => {} };
  const engine = new FakeEngine(
    {
      'encode.onnx': encodeGraph(model, () => gate.beforeRun()),
      'head.onnx': headGraph(model),
      'query.onnx': queryGraph(),
    },
    inFlight,
  );
  const measurements = new Measurements();
  const warm =
    options.warm &&
    (await openTestTier(options.warm, { directory, shape, releaseId: RELEASE, lease: (who) => encoder.leaseOf(who) }));
  const encoder: UserEncoder = new UserEncoder({
    model,
    trunk: new SharedTrunk(model, engine, await engine.load('encode.onnx'), pool),
    head: new RetrievalHead(model, await engine.load('head.onnx')),
    queryTower: new QueryTower(engine, await engine.load('query.onnx'), { tokenizer: TOKENIZER, dimension: E }),
    restMs,
    history: options.history?.(history) ?? history,
    logger: silentLogger,
    measurements,
    mayReuseKv: () => true,
    warm: warm && { tier: warm.tier, tensors: (slot) => pool.tensors(slot) },
    mayUseWarmTier: options.mayUseWarmTier ?? (() => true),
    rememberedPersons: 4 * slots,
  });
  return Object.assign(gate, {
    encoder,
    warmTier: warm?.tier,
    history,
    pool,
    reader,
    measurements,
    model,
    append: async (person: string, ...events: readonly NewEvent[]) => {
      await history.append(person, events);
    },
    expectedKv: (person: string, length: number) => expectedKv(history, model, person, length),
    readKv: (reference: KvReference) => {
      const { keys, values } = reader.read(reference);
      return [...keys, ...values].map((tensor) => [...tensor]);
    },
    close: async () => {
      await encoder.idle();
      await warm?.close();
      await history.close();
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  });
}

async function expectedKv(history: HistoryStore, model: ServedModel, person: string, length: number) {
  const { events } = await history.latest(person, 10_000);
  const tokens = pastTokens(model.world, events);
  const held = tokens.slice(tokens.length - length);
  const rows = rowsOf(model, held, tokens[tokens.length - length - 1]?.timeMs);
  const tensor = (layer: number, kind: 'key' | 'value') =>
    rows.flatMap((row, position) => [...kvOf(row, position, layer, kind)]);
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  return [...layers.map((layer) => tensor(layer, 'key')), ...layers.map((layer) => tensor(layer, 'value'))];
}

function rowsOf(model: ServedModel, tokens: readonly PastToken[], previousMs: number | undefined): Float32Array[] {
  const { features } = model.layout;
  const out = new Float32Array(tokens.length * features);
  writePastRows(model.layout, out, tokens, {
    previousMs,
    itemEmbedding: (row) => model.embedding(row),
    queryEmbedding: textEmbedding,
  });
  return tokens.map((_, row) => out.subarray(row * features, (row + 1) * features));
}

/** Causal: the hidden state of a row is the sum of the last layer's values so far. */
function encodeGraph(model: ServedModel, beforeRun: () => void | Promise<void>): FakeGraph {
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  const { features } = model.layout;
  return {
    inputs: [
      { name: 'rows', shape: ['n', features] },
      { name: 'positions', shape: ['n'] },
      ...layers.flatMap((l) => [
        { name: `past_key_${l}`, shape: ['p', W] },
        { name: `past_value_${l}`, shape: ['p', W] },
      ]),
    ],
    outputs: [
      { name: 'hidden', shape: ['n', W] },
      ...layers.flatMap((l) => [
        { name: `key_${l}`, shape: ['n', W] },
        { name: `value_${l}`, shape: ['n', W] },
      ]),
    ],
    run: async (inputs, outputs) => {
      await beforeRun();
      fillEncode(features, inputs, outputs);
    },
  };
}

function fillEncode(features: number, inputs: Tensors, outputs: Tensors): void {
  const last = LAYERS - 1;
  const sum = new Float32Array(W);
  const past = inputs[`past_value_${last}`]!.data;
  past.forEach((value, i) => {
    sum[i % W] = sum[i % W]! + value;
  });
  inputs.positions!.data.forEach((position, i) => {
    const row = inputs.rows!.data.subarray(i * features, (i + 1) * features);
    for (let layer = 0; layer < LAYERS; layer++) {
      outputs[`key_${layer}`]!.data.set(kvOf(row, position, layer, 'key'), i * W);
      outputs[`value_${layer}`]!.data.set(kvOf(row, position, layer, 'value'), i * W);
    }
    kvOf(row, position, last, 'value').forEach((value, column) => {
      sum[column] = sum[column]! + value;
    });
    outputs.hidden!.data.set(sum, i * W);
  });
}

/** A query is the hidden state's first numbers, shifted by the outcome's index and the offset. */
function headGraph(model: ServedModel): FakeGraph {
  return {
    inputs: [
      { name: 'hidden', shape: [1, W] },
      { name: 'outcomes', shape: ['q', model.outcomes] },
      { name: 'offsets', shape: ['q', 1] },
      { name: 'surfaces', shape: ['q', SURFACES.length] },
    ],
    outputs: [{ name: 'queries', shape: ['q', E] }],
    run: (inputs, outputs) => {
      const { hidden, outcomes, offsets } = inputs;
      offsets!.data.forEach((offset, row) => {
        const outcome = outcomes!.data.subarray(row * model.outcomes, (row + 1) * model.outcomes).indexOf(1);
        for (let i = 0; i < E; i++) outputs.queries!.data[row * E + i] = hidden!.data[i]! + outcome + offset;
      });
    },
  };
}

/** What the fake query tower makes of a text: the sum of its weighted ids, and of its weights. */
export function textEmbedding(text: string): Float32Array {
  const ids = queryTokens(text, TOKENIZER);
  const weight = Math.fround(tokenWeight(ids.length));
  return Float32Array.of(
    ids.reduce((sum, id) => sum + weight * id, 0),
    weight * ids.length,
  );
}

function queryGraph(): FakeGraph {
  return {
    inputs: [
      { name: 'token_ids', shape: ['b', 't'] },
      { name: 'token_weights', shape: ['b', 't'] },
    ],
    outputs: [{ name: 'embeddings', shape: ['b', E] }],
    run: ({ token_ids, token_weights }, { embeddings }) => {
      const t = token_ids!.shape[1]!;
      for (let row = 0; row * E < embeddings!.data.length; row++) {
        const ids = token_ids!.data.subarray(row * t, (row + 1) * t);
        const weights = token_weights!.data.subarray(row * t, (row + 1) * t);
        embeddings!.data[row * E] = ids.reduce((sum, id, i) => sum + id * weights[i]!, 0);
        embeddings!.data[row * E + 1] = weights.reduce((sum, weight) => sum + weight, 0);
      }
    },
  };
}

export function person(number: number): string {
  return number.toString(16).padStart(32, '0');
}

export function action(eventId: string, itemId: string, more: Partial<NewEvent> = {}): NewEvent {
  return { eventId, operation: 'add', itemId, actions: ['click'], surface: 'home', timeMs: NOW - 1000, ...more };
}

export function query(eventId: string, queryText: string): NewEvent {
  return { eventId, operation: 'add', queryText, actions: ['search'], surface: 'home', timeMs: NOW - 1000 };
}

export function retract(eventId: string): NewEvent {
  return { eventId, operation: 'retract', actions: [], surface: 'home', timeMs: NOW };
}

export function ask(who: string | undefined, more: Partial<EncodeAsk> = {}): EncodeAsk {
  return {
    person: who,
    context: { surface: 'home', nowMs: BigInt(NOW), features: {} } as EncodeAsk['context'],
    surface: 0,
    nowMs: NOW,
    embeddings: undefined,
    queryText: undefined,
    contextRows: 1,
    queries: [{ outcome: 2, offsetMs: 0 }],
    minimumSequence: 0,
    ...more,
  };
}

/** A call that nobody gives up, with `remainingMs` to go at every time of asking. */
export function call(remainingMs = 10_000, signal: AbortSignal = new AbortController().signal) {
  return {
    signal,
    deadlineMs: Date.now() + remainingMs,
    priority: 'interactive',
    span: NO_SPAN,
    remainingMs: () => remainingMs,
  } as const;
}

/** Resolves once it holds; the test's own time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
