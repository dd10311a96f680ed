import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KvSource } from '@onepass/contracts';
import { EXIT_CODES } from '@onepass/errors';
import { type HistoryStore, openLmdbHistory } from '@onepass/history';
import { compileFakeCuda } from '@onepass/inference';
import { loadRelease, openItems, type Release } from '@onepass/release';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CellClient, keyOf, NOW } from './two-cells.suite.js';

// ONNX Runtime's CUDA build, as `node scripts/gpu-libraries.mjs` fetches it; the GPU is a stand-in, whose kernels do nothing.
const libraries = process.env.ONEPASS_TEST_CUDA_LIBRARIES;
const python = fileURLToPath(new URL('../../../training/.venv/bin/python', import.meta.url));

/** As it is built: `npm test` builds before it tests. */
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));

const root = mkdtempSync(join(tmpdir(), 'onepass-cuda-cell-'));
const lost = join(root, 'lost');
const graphs = join(root, 'graphs');
let release: Release;
let history: HistoryStore;
let itemIds: readonly string[];
beforeAll(async () => {
  if (!libraries) return;
  compileFakeCuda(join(root, 'cuda'));
  release = await loadRelease(SMOKE_RELEASE);
  itemIds = (await openItems(release)).ids;
  history = openLmdbHistory(join(root, 'data', 'history'));
  const of = ['--release', SMOKE_RELEASE, '--dtype', 'float16', '--out', graphs];
  if (existsSync(python))
    execFileSync(python, ['-m', 'onepass_training.device', 'device-graphs', ...of], {
      env: { ...process.env, PYTHONPATH: fileURLToPath(new URL('../../../training/src', import.meta.url)) },
    });
});
const started: CellProcess[] = [];
afterEach(() => {
  for (const cell of started.splice(0)) cell.end('SIGKILL');
  rmSync(lost, { force: true });
});
afterAll(async () => {
  await history?.close();
  rmSync(root, { recursive: true });
});

interface Line {
  readonly msg?: string;
  readonly address?: string;
  readonly ranking?: string;
}

/** A device cell as a process of its own. */
class CellProcess {
  readonly ended: Promise<number | null>;
  readonly #process: ChildProcess;
  /** Log lines, and sentences in between. */
  #told = '';

  constructor(own: Record<string, string> = {}) {
    const env = {
      LD_LIBRARY_PATH: join(root, 'cuda'),
      // Numbers, though no kernel writes any.
      FAKE_CUDA_FILL: '0',
      FAKE_CUDA_LOST: lost,
      ONEPASS_ONNXRUNTIME_DIR: libraries,
      ONEPASS_EXECUTION_PROVIDER: 'cuda:0',
      ONEPASS_DEVICE_GRAPHS: existsSync(graphs) ? graphs : DEVICE_GRAPHS.smoke,
      ONEPASS_RELEASE_DIR: SMOKE_RELEASE,
      ONEPASS_DATA_DIR: join(root, 'data'),
      ONEPASS_PORT: '0',
      ONEPASS_RANKING_PORT: '0',
      UV_THREADPOOL_SIZE: '8',
    };
    this.#process = spawn(process.execPath, [program], { env: { ...process.env, ...env, ...own } });
    this.#process.stderr?.on('data', (text) => {
      this.#told += text;
    });
    this.ended = once(this.#process, 'close').then(([code]) => code);
    started.push(this);
  }

  /** Resolves once it serves. */
  async serving(): Promise<CellClient> {
    let isOver = false;
    void this.ended.then(() => {
      isOver = true;
    });
    for (;;) {
      const lines = this.#lines(true).map((line) => JSON.parse(line) as Line);
      const address = lines.find(({ msg }) => msg === 'serving')?.address;
      const ranking = lines.find((line) => line.ranking !== undefined)?.ranking;
      if (address !== undefined && ranking !== undefined) return new CellClient(release, address, ranking);
      if (isOver) throw new Error(`it ended: ${this.#told}`);
      await Promise.race([once(this.#process.stderr!, 'data'), this.ended]);
    }
  }

  /** What it said beside its log. */
  get sentences(): string[] {
    return this.#lines(false);
  }

  #lines(ofLog: boolean): string[] {
    const whole = this.#told.slice(0, this.#told.lastIndexOf('\n') + 1);
    return whole.split('\n').filter((line) => line !== '' && line.startsWith('{') === ofLog);
  }

  end(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }
}

async function append(person: string, from: number, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => ({
    eventId: `e${from + i}`,
    operation: 'add' as const,
    itemId: itemIds[from + i]!,
    actions: ['click'],
    surface: 'home',
    timeMs: NOW - 1_000_000 + from + i,
  }));
  await history.append(keyOf(person), events);
}

test.skipIf(!libraries)('encodes, appends and ranks by ONNX Runtime’s CUDA provider, and ends well', async () => {
  const cell = new CellProcess();
  const client = await cell.serving();
  const { encoder, ranking } = client;
  for (const { describe } of [encoder, ranking]) expect((await describe({})).executionProvider).toBe('cuda:0');
  const candidates = new Float32Array(40 * release.manifest.model.itemDimension).fill(0.1);
  await append('ann', 0, 9);
  const people = ['ann', 'ann', undefined, 'nobody yet'];
  const sources = [];
  for (const [i, person] of people.entries()) {
    if (i === 1) await append('ann', 9, 2);
    const { encoded, probabilities } = await client.score(person, candidates);
    sources.push(encoded.kvSource);
    expect(probabilities).toHaveLength(40 * release.vocabulary.actions.size);
    expect(probabilities.every(Number.isFinite)).toBe(true);
  }
  expect(sources).toEqual([KvSource.RECOMPUTE, KvSource.APPEND, KvSource.EMPTY, KvSource.EMPTY]);
  const { measurements } = await encoder.describe({});
  expect(measurements['onepass.device.memory.limit']).toBeGreaterThan(0);
  client.close();
  cell.end('SIGTERM');
  expect([await cell.ended, cell.sentences]).toEqual([0, []]);
});

test.skipIf(!libraries)('ends with its own code and one sentence when the device is lost', async () => {
  const cell = new CellProcess();
  const client = await cell.serving();
  await append('bea', 0, 4);
  writeFileSync(lost, '');
  await expect(client.encode('bea')).rejects.toThrow();
  expect(await cell.ended).toBe(EXIT_CODES.lostDevice);
  expect(cell.sentences).toEqual([expect.stringContaining('cuda:0')]);
  client.close();
});

test.skipIf(!libraries)('does not start without room for the KV that is asked for', async () => {
  const cell = new CellProcess({ FAKE_CUDA_BYTES: String(40 << 20), ONEPASS_KV_SLOTS: '100000' });
  expect(await cell.ended).toBe(EXIT_CODES.failed);
  expect(cell.sentences).toEqual([
    expect.stringMatching(/^onepass device-cell: KV of \d+ bytes, 100000 full histories, cannot be had on cuda:0: /),
  ]);
});
