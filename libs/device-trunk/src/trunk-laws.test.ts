import { join } from 'node:path';
import { createDeviceEngine, createEngine, type DeviceEngine, type Tensor } from '@onepass/inference';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { type DeviceModel, graphPath, readDeviceModel } from './device-model.js';
import { fillRank, type Slate } from './run-inputs.js';
import { TOY, toyDevice, toyHidden, toyProbabilities } from './toy-trunk.suite.js';
import { type LawSubject, trunkLaws } from './trunk-laws.suite.js';

trunkLaws(
  'the toy',
  async () => {
    const { engine } = toyDevice({ lanes: 2, isSlow: true });
    const probabilities = async (past: Float32Array, slate: Slate) => toyProbabilities(past, slate);
    const hidden = async (rows: Float32Array) => toyHidden(rows);
    return {
      engine,
      model: TOY,
      attention: { encode: 'plain', rank: 'plain' },
      probabilities,
      hidden,
      close: () => engine.close(),
    };
  },
  150,
);

trunkLaws(
  'the toy, which has a graph for people without a past',
  async () => {
    const { engine } = toyDevice({ lanes: 3, isSlow: true });
    const probabilities = async (past: Float32Array, slate: Slate) => toyProbabilities(past, slate);
    const hidden = async (rows: Float32Array) => toyHidden(rows);
    return { engine, model: TOY, attention: ofAll('plain'), probabilities, hidden, close: () => engine.close() };
  },
  150,
);

trunkLaws(
  "the smoke release's graphs, beside the release's own",
  async () => {
    const model = await readDeviceModel(DEVICE_GRAPHS.smoke);
    const [engine, release] = [await deviceEngine(), await openRelease(model)];
    const close = async () => {
      await Promise.all([engine.close(), release.close()]);
    };
    return { ...release, engine, model, attention: ofAll('plain'), close };
  },
  12,
);

for (const attention of ['mha', 'attention'] as const)
  trunkLaws(
    `graphs with ${attention} attention, beside the graph that recomputes the past`,
    async () => {
      const model = await readDeviceModel(DEVICE_GRAPHS[attention]);
      const engine = await deviceEngine();
      const probabilities = await openRecompute(engine, model, attention);
      return { engine, model, attention: ofAll(attention), probabilities, close: () => engine.close() };
    },
    12,
  );

const ofAll = (attention: string) => ({ prefill: attention, encode: attention, rank: attention });

function deviceEngine(): Promise<DeviceEngine> {
  const onLost = (error: Error) => {
    throw error;
  };
  return createDeviceEngine({ device: 'cpu', lanes: 2, threads: 1, onLost });
}

/** The smoke release as the services run it: one person at a time, KV in host memory. */
async function openRelease(
  model: DeviceModel,
): Promise<Pick<LawSubject, 'probabilities' | 'close'> & { hidden: NonNullable<LawSubject['hidden']> }> {
  const { columns: F, width: W, embedding: E, actions: A, layers } = model;
  const engine = createEngine({ provider: 'cpu', inFlight: 1, threads: 1 });
  const encode = await engine.load(join(SMOKE_RELEASE, 'graphs/encode.onnx'));
  const rank = await engine.load(join(SMOKE_RELEASE, 'graphs/rank.onnx'));
  const tensor = (data: Float32Array, ...shape: number[]): Tensor => ({ data, shape });
  const places = (from: number, n: number) =>
    tensor(
      Float32Array.from({ length: n }, (_, i) => from + i),
      n,
    );
  const byLayer = (name: string, tensors: readonly Float32Array[]) =>
    tensors.map((data, layer): [string, Tensor] => [`${name}_${layer}`, tensor(data, data.length / W, W)]);
  const blank = (n: number) => Array.from({ length: layers }, () => new Float32Array(n * W));
  const pass = async (rows: Float32Array) => {
    const n = rows.length / F;
    const [keys, values, hidden] = [blank(n), blank(n), new Float32Array(n * W)];
    if (n === 0) return { keys, values, hidden };
    const past = [...byLayer('past_key', blank(0)), ...byLayer('past_value', blank(0))];
    await encode.run(
      { rows: tensor(rows, n, F), positions: places(0, n), ...Object.fromEntries(past) },
      { hidden: tensor(hidden, n, W), ...Object.fromEntries([...byLayer('key', keys), ...byLayer('value', values)]) },
    );
    return { keys, values, hidden };
  };
  return {
    hidden: async (rows) => (await pass(rows)).hidden.slice(-W),
    probabilities: async (rows, { context, contextRows: c, candidates, candidateCount: k, candidateRow }) => {
      const { keys, values } = await pass(rows);
      const p = rows.length / F;
      const probabilities = new Float32Array(k * A);
      await rank.run(
        {
          context: tensor(context, c, F),
          context_positions: places(p, c),
          candidates: tensor(candidates, k, E),
          candidate_row: tensor(candidateRow, 1, F - E),
          candidate_position: places(p + c, 1),
          ...Object.fromEntries([...byLayer('past_key', keys), ...byLayer('past_value', values)]),
        },
        { probabilities: tensor(probabilities, k, A) },
      );
      return probabilities;
    },
    close: () => engine.close(),
  };
}

/** The whole past and the candidates in one pass, on the device, without pools. */
async function openRecompute(
  engine: DeviceEngine,
  model: DeviceModel,
  attention: string,
): Promise<LawSubject['probabilities']> {
  const recompute = await engine.load(graphPath(model, 'recompute', attention));
  const sizes = { b: 1, g: 0, s: 1, c: 2, k: 12 };
  const { b, s, c, k } = sizes;
  const run = await recompute.prepare({ b, s, c, k, n: model.window }, {});
  return async (past, slate) => {
    const { value } = await run.run(
      (inputs) => {
        (inputs.rows as Float32Array).fill(0).set(past);
        const entry = { length: past.length / model.columns, pages: [], slates: [slate] };
        fillRank({ ...inputs, pages: new BigInt64Array(0) }, sizes, [entry]);
      },
      (outputs) => (outputs.probabilities as Float32Array).slice(0, slate.candidateCount * model.actions),
    );
    return value;
  };
}
