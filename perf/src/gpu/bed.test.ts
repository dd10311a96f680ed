import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDeviceEngine, type DeviceEngine } from '@onepass/inference';
import { repositoryRoot } from '@onepass/local';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { agreement } from './agreement.js';
import { TrunkBed } from './bed.js';
import { PAGE, stagesOf } from './bench-cases.js';
import type { GpuCase } from './gpu-case.js';
import { type DeviceGraphs, makeDeviceGraphs } from './graphs.js';
import { Peer } from './peer.js';

const PYTHON = join(repositoryRoot, 'training', '.venv', 'bin', 'python');
const SHAPE = { layers: 1, width: 16, heads: 2, n: 20, k: 7, batch: 2, dtype: 'float32' } as const;
const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 2, rows: 0, attention: 'plain', captured: false };

describe.skipIf(!existsSync(PYTHON))('on the CPU', () => {
  let engine: DeviceEngine;
  let graphs: DeviceGraphs;
  let bed: TrunkBed;
  let within: string;
  beforeAll(async () => {
    const onLost = (error: Error) => {
      throw error;
    };
    engine = await createDeviceEngine({ device: 'cpu', lanes: 1, threads: 1, onLost });
    within = await mkdtemp(join(tmpdir(), 'onepass-bed-'));
    graphs = await makeDeviceGraphs(SHAPE, 'float32', { python: PYTHON, within, progress: () => {} });
    bed = await TrunkBed.open(engine, graphs, { ...SHAPE, ...PAGE });
  });
  afterAll(async () => {
    await engine.close();
    await rm(within, { recursive: true, force: true });
  });

  const outputs = async (asked: Partial<GpuCase>) => (await bed.prepare({ ...OWN, ...asked })).outputs();
  const off = (left: Float32Array, right: Float32Array) => {
    expect(left.length).toBe(right.length);
    return agreement({ data: left, length: 1, columns: left.length }, right).worst;
  };

  test('every case runs, and ranks alike: on KV held, copied from the host, and recomputed', async () => {
    const encoded = await outputs({ timed: 'encode', rows: SHAPE.n });
    expect(encoded.length).toBe(SHAPE.batch * SHAPE.width);
    const ranked = await outputs({});
    expect(ranked.length).toBe(SHAPE.batch * SHAPE.k * graphs.description.actions);
    expect(Math.max(...ranked) - Math.min(...ranked)).toBeGreaterThan(1e-3);
    const { rank, encode, prefill = {} } = graphs.description.graphs;
    const attentions = { rank: Object.keys(rank), encode: Object.keys(encode), prefill: Object.keys(prefill) };
    expect(attentions.prefill).toContain('gqa');
    for (const asked of stagesOf(SHAPE, attentions, false).flatMap(({ cases }) => cases)) {
      const ready = await bed.prepare(asked);
      const { deviceMicros, wallMicros } = await ready.time(2);
      expect([...deviceMicros, ...wallMicros].every((micros) => micros > 0)).toBe(true);
      const found = await ready.outputs();
      if (asked.timed === 'gather') expect(found.length).toBe(0);
      else if (['encode', 'append', 'prefill'].includes(asked.timed)) {
        expect(off(found, encoded.subarray(0, found.length))).toBeLessThan(1e-5);
      } else expect(off(found, ranked.subarray(0, found.length))).toBeLessThan(1e-5);
    }
  });

  test('KV and pools are as large as the shape says', () => {
    const { layers, width, batch } = SHAPE;
    // Two pages of 16 tokens a person, keys and values of float32.
    expect(bed.kvBytes).toBe(2 * layers * batch * 32 * width * 4);
  });

  test('PyTorch ranks alike, and says in a sentence what it cannot do', { timeout: 120_000 }, async () => {
    const peer = new Peer(PYTHON);
    try {
      const { description } = graphs;
      const { layers, width, heads, columns, embedding, actions, window, dtype } = description;
      const described = await peer.hello();
      expect(described.torch).toMatch(/^\d/);
      await peer.model('cpu', { layers, width, heads, columns, embedding, actions, window, dtype, seed: 1 });
      const of = { ...PAGE, batch: 2, n: SHAPE.n, k: SHAPE.k, rows: 1, compiled: false, graphs: false };
      const ready = await peer.prepare({ ...of, kind: 'rank', attention: 'sdpa' });
      expect(off(await ready.outputs(), await outputs({}))).toBeLessThan(1e-5);
      expect((await ready.time(2)).wallMicros).toHaveLength(2);
      expect((await peer.copy(1000, 3)).deviceMicros).toHaveLength(3);
      await expect(peer.prepare({ ...of, kind: 'rank', attention: 'sdpa', k: 0 })).rejects.toThrow('k must be');
    } finally {
      await peer.close();
    }
  });
});

test('a Python that is not there is told when it is asked', async () => {
  const peer = new Peer('/nowhere/python');
  await expect(peer.hello()).rejects.toThrow("PyTorch's process ended: spawn /nowhere/python ENOENT");
  await expect(peer.copy(1, 1)).rejects.toThrow('ended');
  await peer.close();
});
