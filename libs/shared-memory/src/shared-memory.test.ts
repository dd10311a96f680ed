import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { allocateMapped, createSharedMemory, heapMemory, openSharedMemory, unsharedMemory } from './index.js';

const dir = mkdtempSync(join(tmpdir(), 'onepass-shared-memory-'));
afterAll(() => rmSync(dir, { recursive: true }));

const taken = (path: string) => statSync(path).blocks * 512;

test('what one process writes, another mapping reads', () => {
  const path = join(dir, 'pool');
  const writer = createSharedMemory(path, 1 << 20);
  expect(writer.reserve(0, 8192)).toBe(true);
  const reader = openSharedMemory(path);
  expect(reader.bytes).toBe(1 << 20);

  new Float32Array(writer.view(4096, 4))[0] = 42;
  Atomics.store(new BigUint64Array(writer.view(0, 8)), 0, 7n);
  expect(new Float32Array(reader.view(0, 8192), 4096, 1)[0]).toBe(42);
  expect(Atomics.load(new BigUint64Array(reader.view(0, 4096), 0, 1), 0)).toBe(7n);
  const other = execFileSync(process.execPath, [
    '-e',
    `process.stdout.write(require('fs').readFileSync('${path}').subarray(0, 1))`,
  ]);
  expect(other[0]).toBe(7);
  expect(reader.view(0, 4096)).toBe(reader.view(0, 4096));
  expect(() => reader.view(1 << 20, 1)).toThrow('bytes 1048576 to 1048577 of 1048576');
  reader.close();
  writer.close();
  writer.close();
});

// A tmpfs and a file system on a disk.
test.each(['/dev/shm', tmpdir()])('in %s it takes what is reserved, and gives back what is discarded', (where) => {
  const folder = mkdtempSync(join(where, 'onepass-sparse-'));
  const path = join(folder, 'sparse');
  const room = 64 << 20;
  const writer = createSharedMemory(path, room);
  const reader = openSharedMemory(path);
  expect(statSync(path).size).toBe(room);
  expect(taken(path)).toBeLessThan(room / 64);
  const at = 32 << 20;
  expect(writer.reserve(at, 1 << 20)).toBe(true);
  expect(taken(path)).toBeGreaterThanOrEqual(1 << 20);
  new Uint8Array(writer.view(at, 1 << 20)).fill(7);
  expect(writer.reserve(at + 4096, 4096)).toBe(true);
  const seen = new Uint8Array(reader.view(at, 1 << 20));
  expect(seen.every((byte) => byte === 7)).toBe(true);
  writer.discard(at, 1 << 19);
  expect(seen.subarray(0, 1 << 19).every((byte) => byte === 0)).toBe(true);
  expect(seen.subarray(1 << 19).every((byte) => byte === 7)).toBe(true);
  expect(taken(path)).toBeLessThan(2 << 20);
  expect(writer.reserve(at, 2 ** 52)).toBe(false);
  reader.close();
  writer.close();
  rmSync(folder, { recursive: true });
});

test('more than one buffer can be over is reached in parts', () => {
  const path = join(dir, 'large');
  const room = 6 * 2 ** 30;
  const writer = createSharedMemory(path, room, 4096);
  expect(writer.reserve(room - 4096, 4096)).toBe(true);
  new Uint8Array(writer.view(room - 4096, 4096))[5] = 3;
  const reader = openSharedMemory(path);
  expect(new Uint8Array(reader.view(room - 4096, 4096))[5]).toBe(3);
  reader.close();
  writer.close();
});

test('a file made anew does not touch what others still map', () => {
  const path = join(dir, 'again');
  const first = createSharedMemory(path, 8192);
  first.reserve(0, 8192);
  const reader = openSharedMemory(path);
  new Uint8Array(first.view(0, 8192)).fill(1);
  const second = createSharedMemory(path, 4096);
  second.reserve(0, 4096);
  expect(new Uint8Array(second.view(0, 4096))[0]).toBe(0);
  expect(new Uint8Array(reader.view(0, 8192))[8191]).toBe(1);
  for (const memory of [first, second, reader]) memory.close();
});

test('too little space is one sentence with path and size, and leaves no file', () => {
  const path = '/dev/shm/onepass-test-too-large';
  expect(() => createSharedMemory(path, 2 ** 52)).toThrow(
    /^cannot create shared memory "\/dev\/shm\/onepass-test-too-large" of 4294967296\.0 MiB: not enough space is left there/,
  );
  expect(existsSync(path)).toBe(false);
});

test('memory of one process has the same interface', () => {
  const memory = unsharedMemory(1 << 16);
  new Uint8Array(memory.view(0, 1 << 16)).fill(7);
  expect(memory.reserve(0, 1 << 16)).toBe(true);
  memory.discard(4096, 8192);
  const bytes = new Uint8Array(memory.view(0, 1 << 16));
  expect([...bytes.subarray(4095, 4097), ...bytes.subarray(12_287, 12_289)]).toEqual([7, 0, 0, 7]);
  memory.close();
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
