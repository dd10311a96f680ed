import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { allocateMapped, createSharedMemory, heapMemory, openSharedMemory } from './index.js';

const dir = mkdtempSync(join(tmpdir(), 'onepass-shared-memory-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('what one process writes, another mapping reads, and the whole file is reserved', () => {
  const path = join(dir, 'pool');
  const writer = createSharedMemory(path, 1 << 20);
  const reader = openSharedMemory(path);
  expect(reader.bytes).toBe(1 << 20);
  expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(1 << 20);

  new Float32Array(writer.buffer, 4096, 1)[0] = 42;
  Atomics.store(new BigUint64Array(writer.buffer, 0, 1), 0, 7n);
  expect(new Float32Array(reader.buffer, 4096, 1)[0]).toBe(42);
  expect(Atomics.load(new BigUint64Array(reader.buffer, 0, 1), 0)).toBe(7n);
  const other = execFileSync(process.execPath, [
    '-e',
    `process.stdout.write(require('fs').readFileSync('${path}').subarray(0, 1))`,
  ]);
  expect(other[0]).toBe(7);
  reader.close();
  writer.close();
  writer.close();
});

test('a file made anew does not touch what others still map', () => {
  const path = join(dir, 'again');
  const first = createSharedMemory(path, 8192);
  const reader = openSharedMemory(path);
  new Uint8Array(first.buffer).fill(1);
  const second = createSharedMemory(path, 4096);
  expect(new Uint8Array(second.buffer)[0]).toBe(0);
  expect(new Uint8Array(reader.buffer)[8191]).toBe(1);
  for (const memory of [first, second, reader]) memory.close();
});

test('too little space is one sentence with path and size, and leaves no file', () => {
  const path = '/dev/shm/onepass-test-too-large';
  expect(() => createSharedMemory(path, 2 ** 52)).toThrow(
    /^cannot reserve 4294967296\.0 MiB of shared memory at "\/dev\/shm\/onepass-test-too-large": (not enough space|EFBIG)/,
  );
  expect(existsSync(path)).toBe(false);
});

test('paths that cannot be used are named', () => {
  expect(() => createSharedMemory(join(dir, 'no', 'such'), 1)).toThrow(
    /no\/such" of 1 bytes: its directory does not exist/,
  );
  expect(() => openSharedMemory(join(dir, 'nothing'))).toThrow(/nothing" cannot be opened/);
  expect(() => createSharedMemory(join(dir, 'x'), 0)).toThrow('shared memory of 0 bytes cannot be made');
  writeFileSync(join(dir, 'empty'), '');
  expect(() => openSharedMemory(join(dir, 'empty'))).toThrow(/no size yet/);
});

test('anonymous memory and the fake start as zeros', () => {
  const mapped = allocateMapped(1 << 16);
  for (const memory of [mapped, heapMemory(64)])
    expect(new Uint8Array(memory.buffer).every((byte) => byte === 0)).toBe(true);
  mapped.close();
});
