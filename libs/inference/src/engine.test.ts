import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor as ReferenceTensor } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AnyTensors, createEngine, FakeEngine, type Graph, type Tensor } from './index.js';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const engine = createEngine({ provider: 'auto', inFlight: 3, threads: 1 });
let attend: Graph;
let slow: Graph;
let reference: InferenceSession;

beforeAll(async () => {
  [attend, slow, reference] = await Promise.all([
    engine.load(fixture('attend.onnx')),
    engine.load(fixture('slow.onnx')),
    InferenceSession.create(fixture('attend.onnx')),
  ]);
});
afterAll(() => engine.close());

/** The same numbers for the same seed. */
function numbers(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(seed * 97 + i * 13));
}

function tensor(shape: number[], fill?: Float32Array): Tensor {
  const { data } = engine.buffers.take(shape.reduce((a, b) => a * b, 1));
  if (fill) data.set(fill);
  else data.fill(Number.NaN);
  return { data, shape };
}

async function runAttend(n: number, p: number, seed: number) {
  const inputs = { rows: tensor([n, 4], numbers(n * 4, seed)), past: tensor([p, 4], numbers(p * 4, seed + 1)) };
  const outputs = { mixed: tensor([n, 4]), keys: tensor([n, 4]) };
  const timing = await attend.run(inputs, outputs);
  return { ...outputs, timing };
}

async function expectReference(n: number, p: number, seed: number) {
  const { mixed, keys } = await runAttend(n, p, seed);
  const expected = await reference.run({
    rows: new ReferenceTensor('float32', numbers(n * 4, seed), [n, 4]),
    past: new ReferenceTensor('float32', numbers(p * 4, seed + 1), [p, 4]),
  });
  expect(mixed.data).toEqual(expected.mixed!.data);
  expect(keys.data).toEqual(expected.keys!.data);
}

test('says what the graph takes, and why it runs where it runs', () => {
  expect(attend.inputs).toEqual(['rows', 'past']);
  expect(attend.outputs).toEqual(['mixed', 'keys']);
  expect(engine.provider).toBe('cpu');
  expect(engine.providerReason).toMatch(
    /^cpu, as cuda:0 is not to be had: .*libonnxruntime_providers_cuda\.so" does not exist; for a GPU ONEPASS_ONNXRUNTIME_DIR must name .*$/,
  );
});

test("gives the numbers of ONNX Runtime's own JavaScript API, an empty past included", async () => {
  await expectReference(3, 5, 1);
  await expectReference(1, 1, 2);
  await expectReference(4, 0, 3);
});

test('memory of JavaScript itself works as an input too, an empty one included', async () => {
  const outputs = { mixed: tensor([2, 4]), keys: tensor([2, 4]) };
  await attend.run(
    { rows: { data: numbers(8, 1), shape: [2, 4] }, past: { data: new Float32Array(0), shape: [0, 4] } },
    outputs,
  );
  const same = await runAttend(2, 0, 1);
  expect(outputs.mixed.data).toEqual(same.mixed.data);
});

test('concurrent runs of one session give the right numbers each', async () => {
  await Promise.all(Array.from({ length: 200 }, (_, i) => expectReference(1 + (i % 7), i % 5, i)));
  expect([engine.running, engine.queued]).toEqual([0, 0]);
});

test('says how long a run waited and took', async () => {
  const runs = await Promise.all(Array.from({ length: 8 }, (_, i) => runAttend(2, 2, i)));
  for (const { timing } of runs) {
    expect(timing.queueMicros).toBeGreaterThanOrEqual(0);
    expect(timing.runMicros).toBeGreaterThan(0);
  }
  expect(runs[7]!.timing.queueMicros).toBeGreaterThan(0);
});

function runSlow(rounds: number, signal?: AbortSignal) {
  const y = tensor([1, 4]);
  const inputs = { x: tensor([1, 4], numbers(4, 1)), rounds: tensor([1], Float32Array.of(rounds)) };
  return slow.run(inputs, { y }, signal ? { signal } : {}).then(() => y.data);
}

test('the event loop goes on while a graph runs', async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const result = await runSlow(200_000);
  clearInterval(timer);
  expect(result.every((x) => Math.abs(x - 2) < 1e-5)).toBe(true);
  expect(ticks).toBeGreaterThan(3);
});

test('an aborted run stops, whether under way or queued, and the next one is right', async () => {
  const abort = new AbortController();
  const endless = Array.from({ length: 5 }, () => runSlow(2_000_000_000, abort.signal));
  const outcomes = Promise.allSettled(endless);
  await new Promise((resolve) => setImmediate(resolve));
  expect([engine.running, engine.queued]).toEqual([3, 2]);
  const behind = runAttend(2, 2, 1);
  abort.abort();
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'cancelled' } });
  await behind;
  for (let i = 0; i < 6; i++) await expectReference(2, 2, i);
});

test.each([
  [
    'an unknown input',
    { rows: [2, 4], past: [1, 4], more: [1] },
    {},
    'graph attend.onnx: input "more" is not one of rows, past',
  ],
  ['a missing input', { rows: [2, 4] }, {}, 'graph attend.onnx: input "past" is missing'],
  ['a wrong width', { rows: [2, 5], past: [1, 4] }, {}, 'input "rows" has shape [2,5], the graph wants [n = 2, 4]'],
  ['a wrong rank', { rows: [8], past: [1, 4] }, {}, 'input "rows" has shape [8], the graph wants [n, 4]'],
  [
    'an output of another length',
    { rows: [2, 4], past: [1, 4] },
    { mixed: [3, 4] },
    'output "mixed" has shape [3,4], the graph wants [n = 2, 4]',
  ],
  ['an unknown output', { rows: [2, 4], past: [1, 4] }, { score: [1] }, 'output "score" is not one of mixed, keys'],
])('%s is a clear error', async (_, inputShapes, outputShapes, sentence) => {
  const make = (shapes: Record<string, number[]>) =>
    Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        tensor(shape, new Float32Array(shape.reduce((a, b) => a * b))),
      ]),
    );
  const error = await attend
    .run(make(inputShapes), make({ mixed: [2, 4], keys: [2, 4], ...outputShapes }))
    .catch((e) => e);
  expect(error).toMatchObject({ kind: 'internal', message: 'a graph run failed' });
  expect(error.cause.message).toContain(sentence);
});

test('data of another length or type is a clear error', async () => {
  const past = tensor([1, 4]);
  const outputs = { mixed: tensor([2, 4]), keys: tensor([2, 4]) };
  const short = { rows: { data: new Float32Array(7), shape: [2, 4] }, past };
  await expect(attend.run(short, outputs)).rejects.toMatchObject({
    cause: { message: expect.stringContaining('has 7 numbers instead of 8') },
  });
  const bytes = { rows: { data: new Uint8Array(8) as unknown as Float32Array, shape: [2, 4] }, past };
  await expect(attend.run(bytes, outputs)).rejects.toMatchObject({
    cause: { message: expect.stringContaining('is not float32') },
  });
});

test('float16 and int8 go in and come out as their bits, of JavaScript or mapped memory', async () => {
  const typed = await engine.load(fixture('typed.onnx'));
  const halfSum = { data: new Uint16Array(engine.buffers.take(20).data.buffer, 0, 40), shape: [40] };
  const smallSum = { data: new Int8Array(100).subarray(1, 41), shape: [40] };
  // 0.5 in float16.
  const half = { data: new Uint16Array(40).fill(0x3800), shape: [40] };
  const small = { data: Int8Array.from({ length: 40 }, (_, i) => i - 20), shape: [40] };
  await typed.run({ half, small }, { half_sum: halfSum, small_sum: smallSum });
  // -19.5, -0.5 and 19.5.
  expect([halfSum.data[0], halfSum.data[19], halfSum.data[39]]).toEqual([0xcce0, 0xb800, 0x4ce0]);
  expect([...smallSum.data]).toEqual([...small.data].map((value) => (value + 0.5) | 0));
  const bits = { data: new Float32Array(40), shape: [40] };
  await expect(typed.run({ half: bits, small }, { half_sum: halfSum, small_sum: smallSum })).rejects.toMatchObject({
    cause: { message: 'graph typed.onnx: input "half" is not float16' },
  });
  await expect(typed.run({ half, small }, { half_sum: halfSum, small_sum: bits })).rejects.toMatchObject({
    cause: { message: 'graph typed.onnx: output "small_sum" is not int8' },
  });
});

test('int64 goes in as it is', async () => {
  const pool = await engine.load(fixture('pool.onnx'));
  const inputs = {
    rows: tensor([2, 2], Float32Array.of(1, 2, 3, 4)),
    targets: { data: BigInt64Array.of(3n, 0n), shape: [2] },
    pages: { data: BigInt64Array.of(3n, 0n, 1n), shape: [3] },
    pool: tensor([4, 2], new Float32Array(8).fill(10)),
  };
  const outputs = { sum: tensor([2]), pool_out: tensor([4, 2]) };
  await pool.run(inputs, outputs);
  expect([...outputs.sum.data]).toEqual([14, 16]);
});

test('a graph that is missing, damaged, without its weights or of another type is named', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'onepass-inference-'));
  const damaged = join(dir, 'damaged.onnx');
  writeFileSync(damaged, 'not a graph');
  const alone = join(dir, 'alone.onnx');
  copyFileSync(fixture('attend.onnx'), alone);
  for (const path of [join(dir, 'nowhere.onnx'), damaged, alone]) {
    await expect(engine.load(path)).rejects.toMatchObject({
      kind: 'startup',
      message: expect.stringContaining(`graph "${path}" cannot be loaded: `),
    });
  }
  await expect(engine.load(fixture('integers.onnx'))).rejects.toThrow(
    'input "ids" is not a float32, float16, int8 or int64 tensor',
  );
  rmSync(dir, { recursive: true });
});

test('a provider the library lacks, and too few threads of libuv, are one sentence', () => {
  expect(() => createEngine({ provider: 'cuda:0', inFlight: 1, threads: 1 })).toThrow(
    /^device cuda:0 is not to be had: .*libonnxruntime_providers_cuda\.so" does not exist; for a GPU ONEPASS_ONNXRUNTIME_DIR must name .*$/,
  );
  expect(() => createEngine({ provider: 'cpu', inFlight: 4, threads: 1 })).toThrow(
    "ONEPASS_INFERENCE_IN_FLIGHT is 4 and UV_THREADPOOL_SIZE 4: of libuv's threads one must be left",
  );
});

test('the fake engine runs given functions behind the same checks', async () => {
  const fake = new FakeEngine({
    'twice.onnx': {
      inputs: [{ name: 'x', shape: ['n'] }],
      outputs: [{ name: 'y', shape: ['n'] }],
      run: ({ x }, { y }) => y!.data.set(x!.data.map((value) => value * 2)),
    },
  });
  const graph = await fake.load('/release/twice.onnx');
  const y = fake.buffers.take(2).data;
  await graph.run({ x: { data: Float32Array.of(1, 2), shape: [2] } }, { y: { data: y, shape: [2] } });
  expect([...y]).toEqual([2, 4]);
  await expect(graph.run({}, {})).rejects.toMatchObject({ kind: 'internal' });
  const typed = new FakeEngine({
    'negate.onnx': {
      inputs: [{ name: 'x', shape: ['n'], element: 'int8' }],
      outputs: [{ name: 'y', shape: ['n'], element: 'int8' }],
      run: ({ x }: AnyTensors, { y }: AnyTensors) =>
        (y!.data as Int8Array).set((x!.data as Int8Array).map((value) => -value)),
    },
  });
  const negate = await typed.load('negate.onnx');
  const negated = { data: new Int8Array(2), shape: [2] };
  await negate.run({ x: { data: Int8Array.of(1, -2), shape: [2] } }, { y: negated });
  expect([...negated.data]).toEqual([-1, 2]);
  await expect(negate.run({ x: { data: y, shape: [2] } }, { y: negated })).rejects.toMatchObject({ kind: 'internal' });
  await expect(fake.load('other.onnx')).rejects.toMatchObject({ kind: 'startup' });
  await fake.close();
});
