import { afterAll, expect, test } from 'vitest';
import { BufferPool } from './index.js';

const pool = new BufferPool();
afterAll(() => pool.close());

test('buffers have the asked length, are not shared while taken, and are used again once released', () => {
  const first = pool.take(1000);
  const second = pool.take(1000);
  expect(first.data.length).toBe(1000);
  first.data.fill(1);
  second.data.fill(2);
  expect(first.data[999]).toBe(1);
  const bytes = pool.bytes;
  first.release();
  first.release();
  const third = pool.take(600);
  const fourth = pool.take(1024);
  expect(third.data.buffer).toBe(first.data.buffer);
  expect(fourth.data.buffer).not.toBe(first.data.buffer);
  expect(pool.bytes).toBe(bytes + 4096);
  expect(pool.take(0).data.length).toBe(0);
});
