import { FakeDeviceEngine, type FakeDeviceGraph, type HostArrays } from '@onepass/inference';
import type { DeviceModel } from './device-model.js';
import type { Slate } from './run-inputs.js';

/** Sizes of the toy: pages of 4 tokens, at most 4 of them. */
export const TOY: DeviceModel = {
  releaseId: null,
  files: {},
  directory: '/toy',
  formatVersion: 1,
  dtype: 'float32',
  pageTokens: 4,
  layers: 1,
  width: 4,
  heads: 1,
  columns: 5,
  embedding: 3,
  actions: 2,
  window: 13,
  contextRows: 2,
  graphs: {
    prefill: { plain: 'prefill.onnx' },
    encode: { plain: 'encode.onnx', paged: 'encode.paged.onnx' },
    rank: { plain: 'rank.onnx' },
    recompute: {},
    gather: 'gather.onnx',
  },
  weights: 'weights.bin',
};
const { pageTokens: T, width: W, columns: F, embedding: E, actions: A } = TOY;

/** What the toy has of one token: a function of its row and position. */
function keyOf(row: Float32Array, position: number): number[] {
  return Array.from({ length: W }, (_, w) => row[w]! + 0.25 * row[F - 1]! * (position + 1));
}

/** Of the last of all rows: each counts by its place, so that nothing may be missing, doubled or another's. */
export function toyHidden(rows: Float32Array): Float32Array {
  const hidden = new Float32Array(W);
  for (let t = 0; t < rows.length / F; t++)
    for (const [w, x] of keyOf(rows.subarray(t * F), t).entries()) hidden[w]! += (t + 1) * x;
  return hidden;
}

export function toyProbabilities(past: Float32Array, slate: Slate): Float32Array {
  return score(toyHidden(past), past.length / F, slate);
}

/** A candidate's score is of the past, its slate's contexts and itself. */
function score(
  past: Float32Array,
  length: number,
  { context, contextRows, candidates, candidateCount, candidateRow }: Slate,
) {
  const of = (numbers: Float32Array) => numbers.reduce((total, x, i) => total + x * (1 + (i % 7)), 0);
  const about = of(past) + length + of(context.subarray(0, contextRows * F)) + of(candidateRow);
  return Float32Array.from({ length: candidateCount * A }, (_, i) => {
    const k = Math.floor(i / A);
    return about + (1 + (i % A)) * of(candidates.subarray(k * E, (k + 1) * E));
  });
}

type GraphName = 'prefill' | 'encode' | 'rank';

/** The toy's device: how many runs it had, of which sizes, and how long they take. */
export interface ToyDevice {
  readonly engine: FakeDeviceEngine;
  readonly runs: { readonly graph: GraphName; readonly sizes: Readonly<Record<string, number>> }[];
  /** Awaited by every run. */
  gate: Promise<void>;
  /** Throws in place of a run's numbers. */
  sabotage: ((graph: GraphName, inputs: HostArrays) => void) | undefined;
}

/**
 * @param options.isSlow everything else has turns within a run, between its people and in the midst of what it reads of one: as on a device whose lanes are not in
 * order of each other
 */
export function toyDevice(options: { lanes?: number; bytes?: number; isSlow?: boolean } = {}): ToyDevice {
  const graph = (name: GraphName, play: Play, parts: Omit<FakeDeviceGraph, 'run'>): FakeDeviceGraph => ({
    ...parts,
    run: async (inputs, outputs, dimensions) => {
      const { r, ...sizes } = dimensions;
      device.runs.push({ graph: name, sizes });
      await device.gate;
      if (options.isSlow) await others();
      device.sabotage?.(name, inputs);
      const turn = options.isSlow ? others : undefined;
      await play(inputs as Numbers, outputs as Numbers, dimensions as Sizes, turn);
    },
  });
  const engine = new FakeDeviceEngine(
    {
      'prefill.onnx': graph('prefill', prefill, PREFILL),
      'encode.onnx': graph('encode', encode, ENCODE),
      'encode.paged.onnx': graph('encode', paged, { ...ENCODE, outputs: ENCODE.outputs.slice(0, 1) }),
      'rank.onnx': graph('rank', rank, RANK),
    },
    options,
  );
  const device: ToyDevice = { engine, runs: [], gate: Promise.resolve(), sabotage: undefined };
  return device;
}

const others = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Keeps runs from ending until it is called. */
export function hold(device: ToyDevice): () => void {
  let release = () => {};
  device.gate = new Promise((resolve) => {
    release = resolve;
  });
  return () => {
    release();
    device.gate = Promise.resolve();
  };
}

type Numbers = Record<string, Float32Array> &
  Record<'lengths' | 'counts' | 'pages' | 'targets' | 'context_counts', BigInt64Array>;
type Sizes = Record<'b' | 'g' | 'm' | 's' | 'c' | 'k', number>;
type Turn = (() => Promise<void>) | undefined;
type Play = (inputs: Numbers, outputs: Numbers, sizes: Sizes, turn: Turn) => Promise<void>;

const int64 = (name: string, ...shape: (string | number)[]) => ({ name, shape, element: 'int64' }) as const;
const float = (name: string, ...shape: (string | number)[]) => ({ name, shape });
const POOLS = [float('key_pool_0', 'r', W), float('value_pool_0', 'r', W)];

const ENCODE = {
  inputs: [
    float('rows', 'b', 'm', F),
    int64('lengths', 'b'),
    int64('counts', 'b'),
    int64('pages', 'b', 'g'),
    int64('targets', 'b', 'm'),
    ...POOLS,
  ],
  outputs: [float('hidden', 'b', W), float('key_pool_out_0', 'r', W), float('value_pool_out_0', 'r', W)],
};

const encode: Play = async (inputs, { hidden, key_pool_out_0: keys, value_pool_out_0: values }, { b, g, m }, turn) => {
  const { rows, lengths, counts, pages, targets } = inputs;
  for (let i = 0; i < b; i++) {
    const length = Number(lengths[i]);
    // As ONNX Attention on the CPU: on CUDA nobody says so, and numbers are wrong.
    if (length + m > g * T) throw new Error(`${length} tokens and ${m} rows have no room in ${g} pages`);
    for (let j = 0; j < m; j++) {
      const target = Number(targets[i * m + j]) * W;
      const key = keyOf(rows!.subarray((i * m + j) * F), length + j);
      keys!.set(key, target);
      values!.set(key, target);
    }
    await turn?.();
    hidden!.set(await pastOf(values!, pages.subarray(i * g), length + Number(counts[i]), turn), i * W);
  }
};

/** Writes the pools through its inputs. */
const paged: Play = (inputs, { hidden }, ...rest) => {
  const { key_pool_0: keys, value_pool_0: values } = inputs;
  return encode(inputs, { hidden, key_pool_out_0: keys, value_pool_out_0: values } as unknown as Numbers, ...rest);
};

const PREFILL = { ...ENCODE, inputs: ENCODE.inputs.filter(({ name }) => name !== 'lengths' && name !== 'pages') };

/** Of people of whom nothing is held: the pools are written and not read. */
const prefill: Play = async (inputs, { hidden, key_pool_out_0: keys, value_pool_out_0: values }, { b, m }, turn) => {
  const { rows, counts, targets } = inputs;
  for (let i = 0; i < b; i++) {
    const own = rows!.subarray(i * m * F, (i + 1) * m * F);
    for (let j = 0; j < m; j++) {
      const key = keyOf(own.subarray(j * F), j);
      for (const pool of [keys!, values!]) pool.set(key, Number(targets[i * m + j]) * W);
    }
    await turn?.();
    hidden!.set(toyHidden(own.subarray(0, Number(counts[i]) * F)), i * W);
  }
};

const RANK = {
  inputs: [
    float('context', 'b', 's', 'c', F),
    int64('context_counts', 'b', 's'),
    float('candidates', 'b', 's', 'k', E),
    float('candidate_row', 'b', 's', F - E),
    int64('lengths', 'b'),
    int64('pages', 'b', 'g'),
    ...POOLS,
  ],
  outputs: [float('probabilities', 'b', 's', 'k', A)],
};

const rank: Play = async (inputs, { probabilities }, { b, g, s, c, k }, turn) => {
  const { context, context_counts: counts, candidates, candidate_row: row, lengths, pages } = inputs;
  for (let i = 0; i < b * s; i++) {
    const person = Math.floor(i / s);
    const length = Number(lengths[person]);
    const past = await pastOf(inputs.value_pool_0!, pages.subarray(person * g), length, turn);
    const slate = {
      context: context!.subarray(i * c * F),
      contextRows: Number(counts[i]),
      candidates: candidates!.subarray(i * k * E),
      candidateCount: k,
      candidateRow: row!.subarray(i * (F - E), (i + 1) * (F - E)),
    };
    probabilities!.set(score(past, length, slate), i * k * A);
  }
};

/** So that a whole run of another lane has its time within the reading of one past. */
const TURNS = 8;

async function pastOf(pool: Float32Array, pages: BigInt64Array, tokens: number, turn: Turn): Promise<Float32Array> {
  const past = new Float32Array(W);
  for (let t = 0; t < tokens; t++) {
    if (t === tokens >> 1) for (let i = 0; i < TURNS; i++) await turn?.();
    const row = (Number(pages[Math.floor(t / T)]) * T + (t % T)) * W;
    for (let w = 0; w < W; w++) past[w]! += (t + 1) * pool[row + w]!;
  }
  return past;
}
