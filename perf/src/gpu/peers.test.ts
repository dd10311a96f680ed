import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PAGE, peerCases } from './bench-cases.js';
import { describeCase } from './gpu-case.js';
import { Peers, type PeersTerms } from './peers.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');
const SHAPE = { n: 20, k: 7, batch: 2 };
const MODEL = {
  ...{ layers: 1, width: 16, heads: 2, columns: 40, embedding: 16, actions: 5, window: 20, seed: 1 },
  dtype: 'float32',
} as const;

/** Answers as the peer does where there is a GPU: an append never compiles, a recompute ends the process, a compiled encode is wrong. */
const COMPILER = `#!${process.execPath}
const answers = {
  hello: () => ({ torch: '2.11', cuda: '13.0', device: 'Some GPU', attention: ['flex', 'sdpa'], compiles: true }),
  model: () => ({}),
  prepare: ({ kind, attention }) => {
    if (kind === 'append') return undefined;
    if (kind === 'recompute') { console.error('illegal memory access'); process.exit(1); }
    if (kind === 'encode' && attention === 'flex') throw new Error('compiled flex attention of encode is off by 1');
    return 0;
  },
  time: ({ runs }) => ({ deviceMicros: Array(runs).fill(5), wallMicros: Array(runs).fill(6) }),
  copy: ({ bytes, runs }) => ({ deviceMicros: Array(runs).fill(bytes), wallMicros: Array(runs).fill(bytes) }),
};
require('node:readline').createInterface(process.stdin).on('line', (line) => {
  const { do: what, ...asked } = JSON.parse(line);
  try {
    const ok = answers[what](asked);
    if (ok !== undefined) console.log(JSON.stringify({ ok }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
});
`;

let folder: string;
let compiler: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-peers-'));
  compiler = join(folder, 'python.cjs');
  await writeFile(compiler, COMPILER);
  await chmod(compiler, 0o755);
});
afterAll(() => rm(folder, { recursive: true }));

function open(more: Partial<PeersTerms>) {
  const notes: string[] = [];
  const peers = new Peers({
    ...{
      python: PYTHON,
      device: 'cpu',
      model: MODEL,
      kv: { batch: 2, bytes: 1_000 },
      limitMs: 100_000,
      progress: () => {},
    },
    cases: (described) => peerCases(SHAPE, described),
    note: (line) => notes.push(line),
    ...more,
  });
  return { peers, notes };
}

test('what compiles has a process of its own: one that does not end, or ends badly, takes no other along', async () => {
  const { peers, notes } = open({ python: compiler, device: 'cuda:0', limitMs: 4_000, atOnce: 6 });
  peers.pause();
  peers.resume();
  await peers.settled;
  const ready = peers.take();
  expect(ready.map((one) => describeCase(one.case)).sort()).toEqual([
    'PyTorch encode, sdpa, compiled, captured, B=2',
    'PyTorch kv copy, B=2',
    'PyTorch rank, flex, compiled, B=2',
    'PyTorch rank, flex, compiled, captured, B=1',
    'PyTorch rank, flex, compiled, captured, B=2',
  ]);
  expect(peers.take()).toEqual([]);
  expect(notes.sort()).toEqual([
    'PyTorch append is left out: it was not ready within 4 s',
    'PyTorch encode, flex, B=2 is left out: compiled flex attention of encode is off by 1',
    "PyTorch recompute is left out: PyTorch's process ended: illegal memory access",
  ]);
  const copy = ready.find((one) => one.case.timed === 'kv_copy');
  expect((await copy!.time(2)).deviceMicros).toEqual([1_000, 1_000]);
  await peers.close();
});

test('closing ends what is still getting ready', async () => {
  const { peers } = open({
    python: compiler,
    cases: ({ attention, compiles }) => [
      {
        ...PAGE,
        kind: 'append',
        batch: 2,
        n: 20,
        k: 7,
        rows: 1,
        attention: attention[0]!,
        compiled: compiles,
        graphs: true,
      },
    ],
  });
  await peers.close();
  expect(peers.isSettled).toBe(true);
});

test('without such a Python there is one note', async () => {
  const { peers, notes } = open({ python: '/nowhere/python' });
  await peers.settled;
  expect(notes).toEqual(["PyTorch is left out: PyTorch's process ended: spawn /nowhere/python ENOENT"]);
  expect(peers.described).toBeUndefined();
  await peers.close();
});

test.skipIf(!existsSync(PYTHON))(
  'on a CPU all cases are in one process, one after the other',
  { timeout: 120_000 },
  async () => {
    const { peers, notes } = open({});
    await peers.settled;
    expect(notes).toEqual([]);
    expect(peers.described?.torch).toMatch(/^\d/);
    expect(peers.take().map((one) => describeCase(one.case))).toEqual([
      'PyTorch rank, sdpa, B=2',
      'PyTorch recompute, sdpa, B=2',
      'PyTorch encode, sdpa, B=2',
      'PyTorch append 1, sdpa, B=2',
      'PyTorch rank, sdpa, B=1',
    ]);
    await peers.close();
  },
);
