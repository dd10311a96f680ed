import { fileURLToPath } from 'node:url';
import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createDeviceEngine,
  createEngine,
  type DeviceBuffer,
  type DeviceEngine,
  type DeviceName,
  type HostArrays,
} from '../index.js';
import { loadOnnxRuntime } from '../onnxruntime.js';
import { cpuDriver } from './cpu-driver.js';
import { openEngine } from './device-engine.js';

// ONEPASS_TEST_DEVICE=cuda:0 with ONEPASS_ONNXRUNTIME_DIR runs these tests on a GPU.
const device = (process.env.ONEPASS_TEST_DEVICE ?? 'cpu') as DeviceName;
const onCpu = device === 'cpu';
const libraryDirectory = process.env.ONEPASS_ONNXRUNTIME_DIR;

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
let engine: DeviceEngine;

beforeAll(async () => {
  engine = await createDeviceEngine({ device, lanes: 3, threads: 1, libraryDirectory, onLost: () => {} });
});
afterAll(() => engine.close());

async function contents(buffer: DeviceBuffer): Promise<number[]> {
  const held = new Float32Array(buffer.bytes / 4);
  await engine.read(buffer, 0, held);
  return [...held];
}

/** Writes rows to the pool and sums the pages of it that are named. */
function poolStep(rows: number[][], targets: number[], pages: number[]) {
  const fill = (inputs: HostArrays) => {
    (inputs.rows as Float32Array).set(rows.flat());
    (inputs.targets as BigInt64Array).set(targets.map(BigInt));
    (inputs.pages as BigInt64Array).set(pages.map(BigInt));
  };
  return [fill, ({ sum }: HostArrays) => [...(sum as Float32Array)]] as const;
}

test('an output bound to the memory of its input is written in place, by graphs of several shapes', async () => {
  const graph = await engine.load(fixture('pool.onnx'));
  expect(graph.capture).toEqual(
    onCpu ? { on: false, reason: 'cpu captures no runs' } : { on: true, reason: 'runs are captured' },
  );
  const pool = await engine.allocate(8 * 8);
  const resident = { pool, pool_out: pool };
  const warm = (inputs: HostArrays) => void (inputs.targets as BigInt64Array).fill(7n);
  const [one, two] = [
    await graph.prepare({ n: 1, g: 2, r: 8 }, resident, warm),
    await graph.prepare({ n: 2, g: 1, r: 8 }, resident, warm),
  ];
  expect([one.bytes, two.bytes]).toEqual([3 * (8 + 8 + 16 + 8), 3 * (16 + 16 + 8 + 8)]);
  expect((await one.run(...poolStep([[1, 2]], [3], [3, 0]))).value).toEqual([1, 2]);
  const { value, timing } = await two.run(
    ...poolStep(
      [
        [10, 20],
        [5, 6],
      ],
      [0, 4],
      [3],
    ),
  );
  expect(value).toEqual([1, 2]);
  expect(timing.deviceMicros).toBeGreaterThan(0);
  expect(timing.runMicros).toBeGreaterThanOrEqual(timing.deviceMicros);
  expect((await one.run(...poolStep([[0, 0]], [1], [3, 4]))).value).toEqual([6, 8]);
  expect((await contents(pool)).slice(0, 12)).toEqual([10, 20, 0, 0, 0, 0, 1, 2, 5, 6, 0, 0]);
  await engine.clear([{ buffer: pool, from: 24, to: 32 }]);
  expect((await one.run(...poolStep([[0, 0]], [1], [3, 4]))).value).toEqual([5, 6]);
  one.close();
  one.close();
  await expect(one.run(...poolStep([[0, 0]], [1], [3, 4]))).rejects.toMatchObject({
    cause: { message: 'graph pool.onnx: this prepared run is closed' },
  });
  two.close();
  pool.close();
});

test('runs of two shapes, interleaved in several lanes over one pool, each have their own numbers', async () => {
  const graph = await engine.load(fixture('pool.onnx'));
  const pool = await engine.allocate(64 * 8);
  const resident = { pool, pool_out: pool };
  const warm = (inputs: HostArrays) => void (inputs.targets as BigInt64Array).fill(63n);
  const shapes = [
    await graph.prepare({ n: 1, g: 1, r: 64 }, resident, warm),
    await graph.prepare({ n: 3, g: 3, r: 64 }, resident, warm),
  ] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ large: fc.boolean(), seed: fc.nat(1000) }), { maxLength: 20 }),
      async (asked) => {
        // Each run writes rows of its own and sums them: what any other run does at the same time must not matter.
        const runs = asked.map(({ large, seed }, index) => {
          const rows = Array.from({ length: large ? 3 : 1 }, (_, i) => [seed + i, seed * 2 - i]);
          const targets = rows.map((_, i) => index * 3 + i);
          const [fill, read] = poolStep(rows, targets, targets);
          return { run: shapes[large ? 1 : 0].run(fill, read), rows };
        });
        for (const { run, rows } of runs)
          expect((await run).value).toEqual([0, 1].map((column) => rows.reduce((sum, row) => sum + row[column]!, 0)));
      },
    ),
    { seed: 8, numRuns: 40 },
  );
  for (const run of shapes) run.close();
  pool.close();
});

test('a captured run gives the numbers of one that is not, and sees what changed', async () => {
  const resident = await engine.allocate(8 * 8);
  const sums: number[][][] = [];
  for (const capture of [false, true]) {
    const graph = await engine.load(fixture('pool.onnx'), { capture });
    expect(graph.capture.on).toBe(capture && !onCpu);
    const run = await graph.prepare({ n: 1, g: 2, r: 8 }, { pool: resident, pool_out: resident });
    await engine.clear([{ buffer: resident, from: 0, to: resident.bytes }]);
    const values: number[][] = [];
    for (let i = 1; i < 20; i++)
      values.push((await run.run(...poolStep([[i, -i]], [i % 8], [i % 8, (i + 1) % 8]))).value);
    sums.push(values);
    run.close();
  }
  expect(sums[1]).toEqual(sums[0]);
});

test('gives the numbers of the engine without bound memory, an empty dimension included', async () => {
  const plain = createEngine({ provider: 'cpu', inFlight: 1, threads: 1, libraryDirectory });
  const [attend, reference] = [await engine.load(fixture('attend.onnx')), await plain.load(fixture('attend.onnx'))];
  for (const [n, p] of [
    [1, 1],
    [3, 5],
    [4, 0],
  ] as const) {
    const numbers = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(n + 13 * i));
    const [rows, past] = [numbers(n * 4), numbers(p * 4)];
    const outputs = {
      mixed: { data: new Float32Array(n * 4), shape: [n, 4] },
      keys: { data: new Float32Array(n * 4), shape: [n, 4] },
    };
    await reference.run({ rows: { data: rows, shape: [n, 4] }, past: { data: past, shape: [p, 4] } }, outputs);
    const run = await attend.prepare({ n, p }, {});
    const fill = (inputs: HostArrays) => {
      (inputs.rows as Float32Array).set(rows);
      (inputs.past as Float32Array).set(past);
    };
    const { value } = await run.run(fill, ({ mixed, keys }) => [mixed!.slice(), keys!.slice()]);
    const wanted = [outputs.mixed.data, outputs.keys.data];
    if (onCpu) expect(value).toEqual(wanted);
    for (const [i, numbers] of value.entries())
      for (const [j, number] of numbers.entries()) expect(Number(number)).toBeCloseTo(wanted[i]![j]!, 5);
  }
  await plain.close();
});

test("when `fill` or `read` throws, its error is the run's, nothing was written, and the lane goes on", async () => {
  const graph = await engine.load(fixture('pool.onnx'));
  const pool = await engine.allocate(8 * 8);
  const warm = (inputs: HostArrays) => void (inputs.targets as BigInt64Array).fill(7n);
  const run = await graph.prepare({ n: 1, g: 1, r: 8 }, { pool, pool_out: pool }, warm);
  const [fill, read] = poolStep([[1, 1]], [2], [2]);
  const broken = () => {
    throw new RangeError('too many rows');
  };
  for (let i = 0; i < 6; i++) await expect(run.run(broken, read)).rejects.toThrow(RangeError);
  expect(await contents(pool)).toEqual(new Array(16).fill(0));
  for (let i = 0; i < 6; i++) await expect(run.run(fill, broken)).rejects.toThrow(RangeError);
  expect((await run.run(fill, read)).value).toEqual([1, 1]);
  expect([engine.running, engine.queued]).toEqual([0, 0]);
});

// On a GPU nobody checks: whoever fills a run must.
test.runIf(onCpu)('a target out of the pool fails that run alone', async () => {
  const graph = await engine.load(fixture('pool.onnx'));
  const run = await graph.prepare({ n: 1, g: 1, r: 8 }, {});
  const bad = run.run(...poolStep([[1, 1]], [8], [0]));
  const good = run.run(
    (inputs) => {
      poolStep([[1, 1]], [2], [2])[0](inputs);
      (inputs.pool as Float32Array).fill(0);
    },
    ({ sum }) => [...(sum as Float32Array)],
  );
  await expect(bad).rejects.toMatchObject({ kind: 'internal', message: 'a graph run failed' });
  expect((await good).value).toEqual([1, 1]);
});

test('an aborted run stops, whether under way or queued, and the next one is right', async () => {
  const graph = await engine.load(fixture('slow.onnx'));
  const run = await graph.prepare({}, {});
  const rounds = (count: number, signal?: AbortSignal) =>
    run.run(
      ({ x, rounds }) => {
        (x as Float32Array).fill(1);
        (rounds as Float32Array).fill(count);
      },
      ({ y }) => Number(y![0]),
      { signal },
    );
  const [gone, late] = [new AbortController(), new AbortController()];
  const endless = Array.from({ length: 5 }, (_, i) => rounds(2_000_000_000, i === 4 ? late.signal : gone.signal));
  const outcomes = Promise.allSettled(endless);
  await new Promise((resolve) => setImmediate(resolve));
  expect([engine.running, engine.queued]).toEqual([3, 2]);
  late.abort(new OnepassError({ kind: 'deadline_exceeded' }, 'too late'));
  const behind = rounds(1);
  await expect(endless[4]).rejects.toMatchObject({ kind: 'deadline_exceeded' });
  gone.abort();
  for (const outcome of (await outcomes).slice(0, 4))
    expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'cancelled' } });
  expect((await behind).value).toBe(1.5);
  for (let i = 0; i < 6; i++) expect((await rounds(2)).value).toBe(1.75);
});

test('what waits beyond its deadline is refused, as soon as it is known how long a run takes', async () => {
  const graph = await engine.load(fixture('slow.onnx'));
  const run = await graph.prepare({}, {});
  const long = (deadlineMs?: number) =>
    run.run(
      ({ rounds }) => void (rounds as Float32Array).fill(20_000),
      () => 0,
      { deadlineMs },
    );
  for (let i = 0; i < 3; i++) await long();
  const under = [long(), long(), long()];
  await expect(long(Date.now())).rejects.toMatchObject({ kind: 'overloaded' });
  await Promise.all(under);
});

test('closing waits for what runs and waits', async () => {
  const closing = await createDeviceEngine({ device, lanes: 2, threads: 1, libraryDirectory, onLost: () => {} });
  const graph = await closing.load(fixture('slow.onnx'));
  const run = await graph.prepare({}, {});
  const runs = Array.from({ length: 6 }, () =>
    run.run(
      ({ x, rounds }) => {
        (x as Float32Array).fill(2);
        (rounds as Float32Array).fill(1000);
      },
      ({ y }) => Number(y![0]),
    ),
  );
  await closing.close();
  expect((await Promise.all(runs)).map(({ value }) => value)).toEqual([2, 2, 2, 2, 2, 2]);
  const late = [
    run.run(
      () => {},
      () => 0,
    ),
    graph.prepare({}, {}),
    closing.load(fixture('slow.onnx')),
    closing.allocate(8),
  ];
  for (const outcome of await Promise.allSettled(late))
    expect(outcome).toMatchObject({ reason: { kind: 'unavailable', message: 'the device engine is closed' } });
});

test('memory that was given back is not touched: whoever comes to it late is told', async () => {
  const [graph, slow] = [await engine.load(fixture('pool.onnx')), await engine.load(fixture('slow.onnx'))];
  const busy = await slow.prepare({}, {});
  const pool = await engine.allocate(8 * 8);
  const bound = await graph.prepare({ n: 1, g: 1, r: 8 }, { pool, pool_out: pool });
  const data = new Float32Array(4);
  const runs = Array.from({ length: engine.lanes }, () =>
    busy.run(
      ({ rounds }) => void (rounds as Float32Array).fill(20_000),
      () => 0,
    ),
  );
  const late = [
    engine.write(pool, 0, data),
    engine.read(pool, 0, data),
    engine.clear([{ buffer: pool, from: 0, to: 8 }]),
    graph.prepare({ n: 1, g: 1, r: 8 }, { pool, pool_out: pool }),
    bound.run(...poolStep([[1, 1]], [2], [2])),
  ];
  pool.close();
  for (const outcome of await Promise.allSettled(late))
    expect(outcome).toMatchObject({
      reason: { kind: 'internal', cause: { message: 'device memory of 64 bytes was given back' } },
    });
  await Promise.all(runs);
});

test('a lane whose thread ends is a device that is lost: nothing runs there any more', async () => {
  const told: OnepassError[] = [];
  const runtime = loadOnnxRuntime(libraryDirectory);
  const driver = cpuDriver(runtime, 1);
  // A call of an unknown kind, as a mistake of ours or a thread without memory would be.
  const broken = {
    ...driver,
    openLane: () => ({ ...driver.openLane(), zero: () => ({ call: 1n, signature: 'v?', args: [] }) }),
  };
  const options = { lanes: 1, onLost: (error: OnepassError) => void told.push(error) };
  const dying = await openEngine(runtime, broken, 'broken', options);
  const buffer = await dying.allocate(8);
  await expect(dying.clear([{ buffer, from: 0, to: 8 }])).rejects.toMatchObject({ kind: 'unavailable' });
  expect(told).toHaveLength(1);
  expect(String(told[0]!.cause)).toContain('thread cpu lane 0 has ended');
  await expect(dying.read(buffer, 0, new Float32Array(2))).rejects.toMatchObject({ kind: 'unavailable' });
  await Promise.all([dying.close(), dying.close()]);
});

test('memory is flat over thousands of runs, and over shapes that come and go', async () => {
  const graph = await engine.load(fixture('pool.onnx'));
  const pool = await engine.allocate(64 * 8);
  const resident = { pool, pool_out: pool };
  const [fill, read] = poolStep([[1, 1]], [2], [2]);
  const turn = async (shapes: number, runs: number) => {
    for (let shape = 0; shape < shapes; shape++) {
      const run = await graph.prepare({ n: 1, g: 1, r: 1 + (shape % 64) }, resident);
      run.close();
    }
    const run = await graph.prepare({ n: 1, g: 1, r: 64 }, resident);
    for (let i = 0; i < runs / 10; i++) await Promise.all(Array.from({ length: 10 }, () => run.run(fill, read)));
    run.close();
  };
  await turn(50, 2000);
  const before = process.memoryUsage.rss();
  await turn(100, 8000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(24 << 20);
});

test.runIf(onCpu && !libraryDirectory)(
  'a device that is not there, and a file that is no graph, are one sentence',
  async () => {
    const cuda = { device: 'cuda:0', lanes: 1, threads: 1, onLost: () => {} } as const;
    await expect(createDeviceEngine(cuda)).rejects.toMatchObject({
      kind: 'startup',
      message: expect.stringMatching(
        /^device cuda:0 is not to be had: .*libonnxruntime_providers_cuda\.so" does not exist; for a GPU ONEPASS_ONNXRUNTIME_DIR must name .*$/,
      ),
    });
    await expect(engine.load('/nowhere/rank.onnx')).rejects.toMatchObject({
      kind: 'startup',
      message: expect.stringContaining('graph "/nowhere/rank.onnx" cannot be loaded: '),
    });
    await expect(engine.allocate(2 ** 33)).rejects.toMatchObject({ kind: 'startup' });
  },
);
