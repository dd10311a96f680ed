import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundleProgram } from '@onepass/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { type DiskStoreOptions, openDiskStore } from './disk-store.js';
import { newPerson } from './made-up.suite.js';
import { warmStoreConformance } from './store-conformance.suite.js';

const root = mkdtempSync(join(tmpdir(), 'onepass-warm-'));
afterAll(() => rmSync(root, { recursive: true }));

const HOUR = 3_600_000;
const NOW = 1_800_000_000_000;
let places = 0;
const newDirectory = () => join(root, `${places++}`);
const limits = { maxBytes: 1e6, maxAgeMs: HOUR, maxEntryBytes: 1e5, releaseId: 'r-1' };
const open = (directory: string, more: Partial<DiskStoreOptions> = {}) =>
  openDiskStore({ ...limits, directory, ...more });

const filesIn = (directory: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.'));

warmStoreConformance('a directory', async () => {
  const directory = newDirectory();
  return {
    open: (terms) => open(directory, terms),
    holds: async (person) => filesIn(directory).some((name) => name.includes(person)),
    remove: async () => {},
  };
});

test('what a process left is found by the next one, the oldest of it goes first, and nobody else may read it', async () => {
  const directory = newDirectory();
  const before = await open(directory);
  const persons = Array.from({ length: 4 }, newPerson);
  for (const person of persons) await before.write(person, Buffer.alloc(1_000));
  await before.close();
  for (const [age, person] of [3, 1, 2, 0].entries()) {
    const [name] = filesIn(directory).filter((file) => file.includes(persons[person]!));
    const written = Date.now() / 1_000 - age * 60;
    utimesSync(join(directory, name!), written, written);
    expect(statSync(join(directory, name!)).mode & 0o777).toBe(0o600);
  }
  const after = await open(directory, { maxBytes: 2_000 });
  expect(after.usage()).toEqual({ entries: 2, bytes: 2_000 });
  expect(await Promise.all(persons.map(async (person) => (await after.read(person))?.length))).toEqual([
    undefined,
    1_000,
    undefined,
    1_000,
  ]);
  await after.close();
});

test('what is too old goes; a clock that was set back makes nothing older and keeps nothing for ever', async () => {
  const directory = newDirectory();
  let now = NOW;
  const store = (await open(directory, { now: () => now })) as Awaited<ReturnType<typeof open>> & {
    sweep(): Promise<void>;
  };
  const [first, second] = [newPerson(), newPerson()];
  await store.write(first, Buffer.alloc(10));
  now -= 5 * HOUR;
  await store.write(second, Buffer.alloc(10));
  expect(store.usage().entries).toBe(2);
  now += HOUR - 1;
  await store.sweep();
  expect(store.usage().entries).toBe(2);
  now += 2;
  await store.sweep();
  expect(store.usage().entries).toBe(0);
  expect(filesIn(directory)).toEqual([]);
  await store.close();
});

test('a longer file than any entry is read no further than it takes to see that', async () => {
  const directory = newDirectory();
  const store = await open(directory);
  const person = newPerson();
  await store.write(person, Buffer.alloc(10));
  const [name] = filesIn(directory);
  writeFileSync(join(directory, name!), Buffer.alloc(2e5));
  expect((await store.read(person))?.length).toBe(100_001);
  await store.close();
});

test('a directory that cannot be used is named', async () => {
  const file = newDirectory();
  writeFileSync(file, '');
  await expect(open(join(file, 'below'))).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringContaining(`ONEPASS_WARM_DIR: ${file}/below cannot be used: `),
  });
});

test('files that are nobody’s here are left alone', async () => {
  const directory = newDirectory();
  mkdirSync(join(directory, 'aa'), { recursive: true });
  for (const name of ['notes.txt', 'aa/notes.tmp', `aa/${'a'.repeat(32)}.kv`]) writeFileSync(join(directory, name), '');
  const store = await open(directory, { maxBytes: 1 });
  expect(store.usage().entries).toBe(0);
  expect(filesIn(directory)).toHaveLength(3);
  await store.close();
});

function mountSmall(directory: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory], { stdio: 'pipe' });
}

function mayMount(): boolean {
  const directory = newDirectory();
  mkdirSync(directory);
  try {
    mountSmall(directory);
    execFileSync('umount', [directory]);
    return true;
  } catch {
    return false;
  }
}

describe('a disk that is full', () => {
  test.skipIf(!mayMount())('loses the entry that has no room, whole, and keeps the others', async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    mountSmall(directory);
    try {
      const store = await open(directory);
      const [small, large] = [newPerson(), newPerson()];
      expect(await store.write(small, Buffer.alloc(50_000, 1))).toBe('written');
      expect(await store.write(large, Buffer.alloc(400_000, 2))).toBe('full');
      expect(await store.read(large)).toBeUndefined();
      expect(await store.read(small)).toEqual(Buffer.alloc(50_000, 1));
      expect(filesIn(directory)).toHaveLength(1);
      expect(await store.write(large, Buffer.alloc(90_000, 2))).toBe('written');
      // An entry that is not to be replaced keeps its place when its successor has no room.
      expect(await store.write(small, Buffer.alloc(400_000, 3))).toBe('full');
      expect(await store.read(small)).toEqual(Buffer.alloc(50_000, 1));
      await store.forget(small);
      await store.close();
    } finally {
      execFileSync('umount', [directory]);
    }
  });

  test('and one that fails half way leave nothing behind', async () => {
    const directory = newDirectory();
    let code = 'ENOSPC';
    const store = await open(directory, {
      putFile: async (path, bytes) => {
        await writeFile(path, bytes.subarray(0, bytes.length >> 1));
        throw Object.assign(new Error(code), { code });
      },
    });
    expect(await store.write(newPerson(), Buffer.alloc(100))).toBe('full');
    code = 'EIO';
    await expect(store.write(newPerson(), Buffer.alloc(100))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(filesIn(directory)).toEqual([]);
    expect(store.usage()).toEqual({ entries: 0, bytes: 0 });
    await store.close();
  });
});

test('a process killed in the middle of a write leaves whole entries, and what it left unfinished goes', async () => {
  const directory = newDirectory();
  const program = await bundleProgram(new URL('./writer.program.ts', import.meta.url));
  for (let kill = 0; kill < 3; kill++) {
    const writer = spawn(process.execPath, [program.path, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(writer.stdout), 'line');
    const ended = once(writer, 'exit');
    writer.kill('SIGKILL');
    await ended;
    expect(filesIn(directory).filter((name) => name.endsWith('.tmp'))).toHaveLength(1);
    const store = await open(directory, { maxBytes: 1e9 });
    const names = filesIn(directory);
    expect(names).toHaveLength(3);
    for (const name of names) {
      const bytes = readFileSync(join(directory, name));
      // Each of one number throughout, as it was written.
      expect([bytes.length, bytes.every((byte) => byte === bytes[0])]).toEqual([1 << 20, true]);
    }
    await store.close();
  }
  program.remove();
}, 120_000);

test('an unfinished file of a process that lives stays until it is done', async () => {
  const directory = newDirectory();
  const store = await open(directory);
  await store.write(newPerson(), Buffer.alloc(10));
  const [name] = filesIn(directory);
  const of = (pid: number) => join(directory, name!.replace(/kv$/, `${pid}.0.tmp`));
  for (const pid of [process.ppid, 2 ** 22 + 1, process.pid]) writeFileSync(of(pid), '');
  await store.close();
  await (await open(directory)).close();
  expect([process.ppid, 2 ** 22 + 1, process.pid].map((pid) => existsSync(of(pid)))).toEqual([true, false, false]);
});
