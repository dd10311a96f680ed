import { expect, test } from 'vitest';
import { FakeDeviceEngine, type FakeDeviceGraph } from '../index.js';

/** pool[row[i]] += amount[i], and the pool's sum; the pool goes out where it came in. */
const add: FakeDeviceGraph = {
  inputs: [
    { name: 'amounts', shape: ['n'] },
    { name: 'rows', shape: ['n'], element: 'int64' },
    { name: 'pool', shape: ['r'] },
  ],
  outputs: [
    { name: 'sum', shape: [1] },
    { name: 'pool_out', shape: ['r'] },
  ],
  run: ({ amounts, rows }, outputs) => {
    const pool = outputs.pool_out as Float32Array;
    for (let i = 0; i < rows!.length; i++) pool[Number(rows![i])]! += Number(amounts![i]);
    outputs.sum!.set([pool.reduce((sum, x) => sum + x, 0)] as never);
  },
};

test('runs functions over resident memory, per lane, and says who has no room', async () => {
  const engine = new FakeDeviceEngine({ 'add.onnx': add }, { lanes: 2, bytes: 200 });
  const graph = await engine.load('/release/add.onnx');
  const pool = await engine.allocate(16);
  const resident = { pool, pool_out: pool };
  const run = await graph.prepare({ n: 2, r: 4 }, resident);
  expect([run.bytes, engine.memory().freeBytes]).toEqual([56, 128]);
  const step = (amount: number) =>
    run.run(
      ({ amounts, rows }) => {
        amounts!.set([amount, 1] as never);
        (rows as BigInt64Array).set([2n, 3n]);
      },
      ({ sum }) => Number(sum![0]),
    );
  const done = await Promise.all([step(1), step(10), step(100)]);
  expect(done.map(({ value }) => value)).toEqual([2, 13, 114]);
  const held = new Float32Array(4);
  await engine.read(pool, 0, held);
  expect([...held]).toEqual([0, 0, 111, 3]);
  await engine.clear([{ buffer: pool, from: 8, to: 12 }]);
  await engine.write(pool, 0, Float32Array.of(7));
  await engine.read(pool, 0, held);
  expect([...held]).toEqual([7, 0, 0, 3]);
  await expect(graph.prepare({ n: 20, r: 4 }, resident)).rejects.toThrow(
    'the device has no memory for graph add.onnx of n=20, r=4: 128 bytes are free',
  );
  await expect(engine.allocate(129)).rejects.toMatchObject({ kind: 'startup' });
  run.close();
  expect(engine.memory().freeBytes).toBe(184);
  await engine.close();
});

test('what needs all lanes waits for them however many wait already, and holds up no more than may wait', async () => {
  let release = () => {};
  let gate = Promise.resolve();
  const engine = new FakeDeviceEngine({ 'add.onnx': { ...add, run: () => gate } }, { lanes: 2, maxQueued: 1 });
  const graph = await engine.load('add.onnx');
  const pool = await engine.allocate(16);
  const prepared = await graph.prepare({ n: 0, r: 4 }, { pool, pool_out: pool });
  gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const nothing = () => {};
  const runs = [1, 2, 3].map(() => prepared.run(nothing, nothing));
  const cleared = [4, 8].map((to) => engine.clear([{ buffer: pool, from: 0, to }]));
  await expect(prepared.run(nothing, nothing)).rejects.toMatchObject({ kind: 'overloaded' });
  release();
  await Promise.all([...runs, ...cleared]);
  await prepared.run(nothing, nothing);
});

test.each([
  [{ n: 1 }, {}, 'input "pool" has dimension "r", which was given no value'],
  [{ n: 1, r: 4, s: 1 }, {}, 'graph add.onnx has no dimension "s"'],
  [{ n: -1, r: 4 }, {}, 'dimension "n" is -1'],
  [{ n: 1, r: 5 }, { pool: 16 }, 'input "pool" of shape [5] takes 20 bytes, its resident buffer has 16'],
  [{ n: 1, r: 4 }, { pools: 16 }, 'resident "pools" is not one of amounts, rows, pool, sum, pool_out'],
])('what does not fit the graph is named: %j %j', async (dimensions, sizes, sentence) => {
  const engine = new FakeDeviceEngine({ 'add.onnx': add });
  const graph = await engine.load('add.onnx');
  const buffers = Object.entries(sizes).map(async ([name, bytes]) => [name, await engine.allocate(Number(bytes))]);
  const resident = Object.fromEntries(await Promise.all(buffers));
  const error = await graph.prepare(dimensions as Record<string, number>, resident).catch((e) => e);
  expect(error.kind).toBe('internal');
  expect(error.cause.message).toContain(sentence);
});

test('a lost device fails every run and is told once', async () => {
  const told: string[] = [];
  const engine = new FakeDeviceEngine({ 'add.onnx': add }, { onLost: (error) => told.push(error.message) });
  const run = await (await engine.load('add.onnx')).prepare({ n: 0, r: 0 }, {});
  engine.lose();
  engine.lose();
  const outcome = run.run(
    () => {},
    () => 0,
  );
  await expect(outcome).rejects.toMatchObject({ kind: 'unavailable' });
  expect(told).toEqual(['the device is lost: as the test has it']);
  await expect(engine.load('other.onnx')).rejects.toMatchObject({ kind: 'startup' });
});
