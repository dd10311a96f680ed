import { writeFile } from 'node:fs/promises';
import { openDiskStore } from './disk-store.js';

/** Writes entries of 1 MiB for three persons, each twice, then half of another one, says so, and waits to be killed. For tests only. */
const [directory = ''] = process.argv.slice(2);
const limits = { maxBytes: 1e9, maxAgeMs: 1e9, maxEntryBytes: 1e9 };
const whole = await openDiskStore({ ...limits, directory, releaseId: 'r-1' });
const write = (store: typeof whole, turn: number) =>
  store.write((turn % 3).toString(16).padStart(32, 'a'), Buffer.alloc(1 << 20, turn));
for (let turn = 0; turn < 6; turn++) await write(whole, turn);
const half = await openDiskStore({
  ...limits,
  directory,
  releaseId: 'r-1',
  putFile: async (path, bytes) => {
    await writeFile(path, bytes.subarray(0, bytes.length >> 1));
    console.log('half');
    await new Promise((resolve) => setInterval(resolve, 1e6));
  },
});
await write(half, 6);
