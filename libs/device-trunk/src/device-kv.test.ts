import { FakeDeviceEngine } from '@onepass/inference';
import type { SlotState } from '@onepass/kv';
import { slotsConformance } from '@onepass/kv/slots.suite';
import { slotsModel } from '@onepass/kv/slots-model.suite';
import { beforeEach, expect, test } from 'vitest';
import type { DeviceKv } from './device-kv.js';
import { pageBytes, slotBytes } from './device-pools.js';
import { bytesOf, deviceSlots, openKv } from './device-slots.suite.js';

slotsConformance('device memory', (terms) => deviceSlots(terms));
slotsModel('device memory', (terms) => deviceSlots(terms), 60);

const shape = { kv: { layers: 1, width: 2, capacity: 8 }, element: 'float32', pageTokens: 4 } as const;
const ANN = 'a'.repeat(32);
const BEA = 'b'.repeat(32);
let now = 0;
let kv: DeviceKv;
beforeEach(async () => {
  now = 0;
  kv = await openKv(new FakeDeviceEngine({}), { slots: 2, restMs: 10, now: () => now }, { shape });
});

function allocate(person: string, tokens: number): SlotState {
  const found = kv.allocate(person, tokens);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

async function append(state: SlotState, to: number, value: number): Promise<void> {
  const each = [new Float32Array((to - state.length) * 2).fill(value)];
  await kv.write(state, state.length, { keys: each, values: each });
  kv.publish(state, { length: to, sequence: to, hash: 0n });
}

async function encode(person: string, tokens: number, value: number): Promise<SlotState> {
  const state = allocate(person, tokens);
  await append(state, tokens, value);
  kv.release(state);
  return state;
}

const rowsOf = async (page: number) => {
  const [keys] = await bytesOf(kv);
  return [...new Float32Array(keys!.buffer, keys!.byteOffset, kv.pools.rows * 2)].slice(page * 8, page * 8 + 8);
};

test('a block table names the pages of the tokens that were meant, in order; nobody has the reserved ones', async () => {
  const state = await encode(ANN, 6, 1);
  const pages = kv.read(kv.reference(state));
  expect(pages).toHaveLength(2);
  expect(Math.min(...pages)).toBeGreaterThanOrEqual(2);
  expect(kv.read({ ...kv.reference(state), length: 4 })).toEqual(pages.slice(0, 1));
  expect(kv.read({ ...kv.reference(state), length: 0 })).toEqual([]);
  expect(kv.stats()).toMatchObject({ bytes: 2 * pageBytes(shape), bytesLimit: 4 * pageBytes(shape), persons: 1 });
});

test('who takes a page overwrites what another left, behind their own tokens too; an append finds it done', async () => {
  const ann = await encode(ANN, 8, 1);
  const pages = kv.read(kv.reference(ann));
  kv.retire(ANN);
  now = 10;
  const state = allocate(BEA, 5);
  expect(kv.pagesFor(state, 5)).toEqual(pages);
  expect([kv.behind(state, 4), kv.behind(state, 5)]).toEqual([0, 3]);
  await append(state, 5, 2);
  expect(kv.behind(state, 6)).toBe(0);
  expect(await rowsOf(pages[1]!)).toEqual([2, 2, 0, 0, 0, 0, 0, 0]);
  expect(kv.stats().persons).toBe(1);
});

test("a person's own pages are overwritten as another's are: they may hold what is no number", async () => {
  await encode(ANN, 8, Number.NaN);
  kv.retire(ANN);
  now = 10;
  const state = allocate(ANN, 1);
  expect(kv.behind(state, 1)).toBe(3);
});

test('a write that failed leaves zeros, and what was published before it', async () => {
  const state = await encode(ANN, 2, 1);
  kv.lease(state);
  expect(kv.grow(state, 8)).toBeUndefined();
  const write = kv.beginWrite(state, 2, 6);
  const [first, second] = kv.pagesFor(state, 6);
  expect([write.rowOf(2), write.rowOf(5)]).toEqual([first! * 4 + 2, second! * 4 + 1]);
  expect(kv.isWritable(state, 2, 3)).toBe(false);
  for (const row of [2, 3]) await kv.pools.write(first! * 4 + row, [Float32Array.of(9, 9)], [Float32Array.of(9, 9)]);
  await write.failed();
  expect(kv.isWritable(state, 2, 8)).toBe(true);
  expect(await rowsOf(first!)).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  expect(await rowsOf(second!)).toEqual(Array(8).fill(0));
  await append(state, 3, 2);
  expect(await rowsOf(first!)).toEqual([1, 1, 1, 1, 2, 2, 0, 0]);
});

test('forgetting waits for a write that is under way, of the person or over what was theirs', async () => {
  await encode(ANN, 8, 1);
  kv.retire(ANN);
  now = 10;
  const state = allocate(BEA, 8);
  const write = kv.beginWrite(state, 0, 8);
  const order: string[] = [];
  const forgotten = [kv.forget(ANN).then(() => order.push('ann'))];
  kv.retire(BEA);
  forgotten.push(kv.forget(BEA).then(() => order.push('bea')));
  await kv.pools.write(write.rowOf(0), [new Float32Array(8).fill(2)], [new Float32Array(8).fill(2)]);
  order.push('written');
  write.done();
  await Promise.all(forgotten);
  expect(order).toEqual(['written', 'ann', 'bea']);
  for (const bytes of await bytesOf(kv)) expect(new Set(bytes)).toEqual(new Set([0]));
  expect(kv.stats().persons).toBe(0);
});

test('scrubbing zeroes one tenancy and no later one', async () => {
  const bad = await encode(ANN, 8, 1);
  const [page] = kv.read(kv.reference(bad));
  const good = await encode(ANN, 8, 2);
  await kv.scrub(bad);
  expect(await rowsOf(page!)).toEqual(Array(8).fill(0));
  expect(kv.lookup(ANN)).toBe(good);
  expect(await rowsOf(kv.read(kv.reference(good))[0]!)).toEqual(Array(8).fill(2));
  await kv.scrub(good);
  expect(kv.lookup(ANN)).toBeUndefined();
  expect(() => kv.verify(kv.reference(good))).toThrow('KV miss');
});

test('memory that is not to be had is one sentence: what was wanted, what is free, and how many people each is', async () => {
  const wanted = { slots: 8, restMs: 0, now: () => 0 };
  const engine = new FakeDeviceEngine({}, { bytes: 3 * slotBytes(shape) });
  const opened = openKv(engine, wanted, { shape });
  await expect(opened).rejects.toMatchObject({
    kind: 'startup',
    message: `KV of ${18 * 64} bytes, 9 full histories, cannot be had on cpu: ${6 * 64} of its ${6 * 64} bytes are free, room for 3`,
  });
  expect(engine.memory().freeBytes).toBe(3 * slotBytes(shape));
  await expect(openKv(engine, wanted, { shape, bytes: slotBytes(shape) })).rejects.toThrow(
    `KV of ${slotBytes(shape)} bytes on cpu has no room for one full history of ${4 * pageBytes(shape)}`,
  );
});

test('what is no number is found in half floats too, infinite or NaN, and only among the tokens that are meant', async () => {
  kv = await openKv(
    new FakeDeviceEngine({}),
    { slots: 2, restMs: 10, now: () => now },
    { shape: { ...shape, element: 'float16' } },
  );
  const state = allocate(ANN, 8);
  // The largest there is, and zeros; then infinity, of token 5.
  const values = [new Uint16Array(16).fill(0xfbff)];
  const keys = [new Uint16Array(16)];
  for (const bad of [0x7c00, 0xfc00, 0x7e01]) {
    keys[0]![5 * 2 + 1] = bad;
    await kv.write(state, 0, { keys, values });
    const among = (from: number, to: number) => kv.areNumbers(state, from, to, () => {});
    expect([await among(0, 8), await among(3, 6), await among(0, 5), await among(6, 8), await among(5, 5)]).toEqual([
      ...[false, false, true, true, true],
    ]);
  }
});

test('half floats take half the memory', () => {
  expect(slotBytes({ ...shape, element: 'float16' })).toBe(slotBytes(shape) / 2);
});

test('who begins to write while somebody is being forgotten keeps what they write, whenever each of them comes', async () => {
  await encode(ANN, 8, 1);
  kv.retire(ANN);
  now = 10;
  const state = allocate(BEA, 8);
  const pages = kv.pagesFor(state, 8);
  const forgotten = kv.forget(ANN);
  const written = append(state, 8, 2);
  await Promise.all([forgotten, written]);
  for (const page of pages) expect(await rowsOf(page)).toEqual(Array(8).fill(2));
  await kv.forget(BEA);
  for (const bytes of await bytesOf(kv)) expect(new Set(bytes)).toEqual(new Set([0]));
});

test('who is forgotten and comes back while others are at work on what was theirs keeps what they bring', async () => {
  await encode(ANN, 8, 1);
  kv.retire(ANN);
  now = 10;
  const bea = allocate(BEA, 4);
  const write = kv.beginWrite(bea, 0, 4);
  const forgotten = kv.forget(ANN);
  const ann = allocate(ANN, 4);
  await append(ann, 4, 2);
  const [page] = kv.pagesFor(ann, 4);
  await kv.pools.write(write.rowOf(0), [new Float32Array(8).fill(3)], [new Float32Array(8).fill(3)]);
  write.done();
  await forgotten;
  expect(await rowsOf(page!)).toEqual(Array(8).fill(2));
  expect(kv.lookup(ANN)).toBe(ann);
  for (const bytes of await bytesOf(kv)) expect(bytes.includes(Buffer.from(Float32Array.of(1).buffer))).toBe(false);
  kv.release(ann);
  await kv.forget(ANN);
  expect(await rowsOf(page!)).toEqual(Array(8).fill(0));
});
