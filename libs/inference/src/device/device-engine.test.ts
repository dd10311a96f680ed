import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDeviceEngine, type DeviceBuffer, type DeviceEngine, type HostArrays } from '../index.js';

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
let engine: DeviceEngine;

beforeAll(async () => {
  engine = await createDeviceEngine({ device: 'cpu', lanes: 3, threads: 1, onLost: () => {} });
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
  expect(graph.capture).toEqual({ on: false, reason: 'cpu captures no runs' });
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
  await engine.clear(pool, 24, 32);
  expect((await one.run(...poolStep([[0, 0]], [1], [3, 4]))).value).toEqual([5, 6]);
  one.close();
  two.close();
  pool.close();
});
