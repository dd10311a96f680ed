import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OnepassError } from '@onepass/errors';
import { afterAll, expect, test } from 'vitest';
import type { HostArrays } from '../index.js';
import { loadOnnxRuntime } from '../onnxruntime.js';
import { cudaDriver, providerOptions } from './cuda-driver.js';
import { loadCudaRuntime } from './cuda-runtime.js';
import { compileFakeCuda } from './fake-cuda.js';
import { openFakeCudaEngine } from './fake-cuda.suite.js';

const poolGraph = fileURLToPath(new URL('../../fixtures/pool.onnx', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'onepass-cuda-'));
const hasCompiler = compileFakeCuda(directory);
afterAll(() => rmSync(directory, { recursive: true }));

const fill = (row: number) => (inputs: HostArrays) => {
  (inputs.rows as Float32Array).set([row, 2 * row]);
  (inputs.targets as BigInt64Array).set([BigInt(row)]);
  (inputs.pages as BigInt64Array).set([BigInt(row), 0n]);
  // Where the pool is not resident.
  (inputs.pool as Float32Array | undefined)?.fill(0);
};
const readSum = ({ sum }: HostArrays) => [...(sum as Float32Array)];

test('a session computes in the stream of its lane', () => {
  expect(providerOptions({ device: 1, threads: 2, arenaBytes: 1e9 }, 140n, true)).toEqual({
    stream: 140n,
    options: {
      device_id: '1',
      do_copy_in_default_stream: '1',
      enable_cuda_graph: '1',
      arena_extend_strategy: 'kSameAsRequested',
      gpu_mem_limit: '1000000000',
    },
  });
  expect(providerOptions({ device: 0, threads: 2 }, 140n, false).options).not.toHaveProperty('gpu_mem_limit');
});

test.skipIf(!hasCompiler)(
  'a run that is not captured gives back what it copied from; what a lane finishes with is done whatever failed before',
  () => {
    const driver = cudaDriver(loadOnnxRuntime(), loadCudaRuntime(directory), { device: 0, threads: 1 });
    const lane = driver.openLane();
    expect(driver.runConfig(true)).toEqual({ disable_synchronize_execution_providers: '1' });
    expect(driver.runConfig(false)).toEqual({});
    expect(lane.finish.map(({ always }) => always)).toEqual([true, true]);
    lane.close();
    driver.close();
  },
);

test.skipIf(!hasCompiler)('copies in and out in the lane, and gives everything back', async () => {
  const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 2, onLost: () => {} });
  expect([engine.device, engine.memory()]).toEqual(['cuda:0', { freeBytes: 2 ** 30, totalBytes: 2 ** 30 }]);
  const pool = await engine.allocate(8 * 8);
  const resident = { pool, pool_out: pool };
  for (const capture of [true, false]) {
    const graph = await engine.load(poolGraph, { capture });
    expect(graph.capture.on).toBe(capture);
    const other = await graph.prepare({ n: 1, g: 2, r: 8 }, resident, fill(7), { capture: false });
    expect(other.isCaptured).toBe(false);
    other.close();
    const run = await graph.prepare({ n: 1, g: 2, r: 8 }, resident, fill(7));
    expect(run.isCaptured).toBe(capture);
    expect(run.bytes).toBe(2 * (8 + 8 + 16 + 8));
    const before = fake.copies();
    const done = await Promise.all([1, 2, 3, 4].map((row) => run.run(fill(row), readSum)));
    expect(done.map(({ value }) => value)).toEqual([1, 2, 3, 4].map((row) => [row, 2 * row]));
    // Three inputs and one output, each in one copy.
    expect(fake.copies() - before).toBe(4 * 4);
  }
  const held = new Float32Array(16);
  await engine.read(pool, 0, held);
  expect([...held]).toEqual([0, 0, 1, 2, 2, 4, 3, 6, 4, 8, 0, 0, 0, 0, 7, 14]);
  await engine.write(pool, 8, Float32Array.of(9));
  await engine.clear([
    { buffer: pool, from: 16, to: 32 },
    { buffer: pool, from: 32, to: 64 },
  ]);
  await engine.read(pool, 0, held);
  expect([...held]).toEqual([0, 0, 9, 2, ...new Array(12).fill(0)]);
  await engine.close();
  expect(fake.live()).toBe(0);
});

test.skipIf(!hasCompiler)(
  'inputs that a node on the CPU reads are not copied, keep runs from being captured, and cannot be resident',
  async () => {
    const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 1, onLost: () => {} }, true);
    const graph = await engine.load(poolGraph);
    expect(graph.capture).toEqual({
      on: false,
      reason: 'its runs cannot be captured: "rows", "targets", "pages", "pool" is read by a node on the CPU',
    });
    const run = await graph.prepare({ n: 1, g: 2, r: 8 }, {}, fill(7));
    const before = fake.copies();
    expect((await run.run(fill(1), readSum)).value).toEqual([1, 2]);
    expect((await run.run(fill(3), readSum)).value).toEqual([3, 6]);
    // Two outputs.
    expect(fake.copies() - before).toBe(2 * 2);
    const pool = await engine.allocate(64);
    await expect(graph.prepare({ n: 1, g: 2, r: 8 }, { pool })).rejects.toThrow(
      '"pool" is read on the CPU: it cannot be resident',
    );
    await engine.close();
    expect(fake.live()).toBe(0);
  },
);

test.skipIf(!hasCompiler)('who finds no memory is told, and nothing stays taken', async () => {
  process.env.FAKE_CUDA_BYTES = '1000';
  const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 2, onLost: () => {} });
  const graph = await engine.load(poolGraph);
  const before = fake.live();
  await expect(engine.allocate(1001)).rejects.toMatchObject({
    kind: 'startup',
    message: 'cuda:0 has not the 1001 bytes that are to be resident',
  });
  await expect(graph.prepare({ n: 40, g: 1, r: 1 }, {})).rejects.toMatchObject({
    kind: 'startup',
    message: 'graph pool.onnx cannot be prepared for n=40, g=1, r=1 in 2 lanes: cuda:0 has too little memory',
  });
  expect([fake.live(), engine.memory().freeBytes]).toEqual([before, 1000]);
  const run = await graph.prepare({ n: 1, g: 2, r: 8 }, {}, fill(7));
  expect((await run.run(fill(1), readSum)).value).toEqual([1, 2]);
  run.close();
  expect(fake.live()).toBe(before);
  // A run that fails for memory fails alone.
  const again = await graph.prepare({ n: 1, g: 2, r: 8 }, {}, fill(7));
  fake.fail(2);
  await expect(again.run(fill(1), readSum)).rejects.toMatchObject({
    kind: 'overloaded',
    message: 'cuda:0 has no memory left for this run',
  });
  fake.fail(0);
  expect((await again.run(fill(1), readSum)).value).toEqual([1, 2]);
  await engine.close();
  delete process.env.FAKE_CUDA_BYTES;
});

test.skipIf(!hasCompiler)(
  'a device that is lost while a run is prepared is no want of memory, nor anything that a setting mends',
  async () => {
    const told: OnepassError[] = [];
    const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 1, onLost: (error) => told.push(error) });
    const graph = await engine.load(poolGraph);
    const prepared = graph.prepare({ n: 1, g: 2, r: 8 }, {}, () => fake.fail(719));
    await expect(prepared).rejects.toMatchObject({ kind: 'unavailable', message: 'the device cuda:0 is lost' });
    expect(told).toHaveLength(1);
    fake.fail(0);
    await engine.close();
  },
);

test.skipIf(!hasCompiler)('a lost device is told once, and every run after it fails', async () => {
  const told: OnepassError[] = [];
  const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 2, onLost: (error) => told.push(error) });
  const run = await (await engine.load(poolGraph)).prepare({ n: 1, g: 2, r: 8 }, {}, fill(7));
  fake.fail(700);
  const runs = await Promise.allSettled([1, 2, 3, 4].map((row) => run.run(fill(row), readSum)));
  for (const outcome of runs)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { kind: 'unavailable', message: 'the device cuda:0 is lost' },
    });
  await expect(engine.allocate(1)).rejects.toMatchObject({ kind: 'unavailable' });
  expect(told).toHaveLength(1);
  expect(String(told[0]!.cause)).toContain('CUDA failure 700: an illegal memory access was encountered');
  await engine.close();
});
