import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createDeviceEngine, createEngine, type HostArrays } from './index.js';

// In a file of its own: the reference API, loaded in the same process, would keep the native library from being unloaded.
setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

const fixture = fileURLToPath(new URL('../fixtures/attend.onnx', import.meta.url));

test('ONNX Runtime keeps no usage data', async () => {
  const home = mkdtempSync(join(tmpdir(), 'onepass-home-'));
  process.env.HOME = home;
  const engine = createEngine({ provider: 'cpu', inFlight: 1, threads: 1 });
  await engine.load(fixture);
  await engine.close();
  expect(readdirSync(home)).toEqual([]);
  rmSync(home, { recursive: true });
});

test('nothing the native side still uses is collected', async () => {
  const engine = createEngine({ provider: 'cpu', inFlight: 3, threads: 1 });
  const graph = await engine.load(fixture);
  const run = async () => {
    const [mixed, keys] = [new Float32Array(40), new Float32Array(40)];
    const inputs = {
      rows: { data: new Float32Array(40), shape: [10, 4] },
      past: { data: new Float32Array(4).fill(3), shape: [1, 4] },
    };
    await graph.run(inputs, { mixed: { data: mixed, shape: [10, 4] }, keys: { data: keys, shape: [10, 4] } });
    return mixed[39];
  };
  for (let turn = 0; turn < 100; turn++) {
    const runs = [run(), run(), run(), run(), run()];
    collect();
    for (const value of await Promise.all(runs)) expect(value).toBeCloseTo(3 / 11);
  }
  await engine.close();
});

test('nor what lanes still use', async () => {
  const engine = await createDeviceEngine({ device: 'cpu', lanes: 2, threads: 1, onLost: () => {} });
  const graph = await engine.load(fixture);
  const prepared = await Promise.all([1, 2, 3].map((n) => graph.prepare({ n, p: 1 }, {})));
  const fill = ({ rows, past }: HostArrays) => {
    (rows as Float32Array).fill(0);
    (past as Float32Array).fill(3);
  };
  for (let turn = 0; turn < 60; turn++) {
    const runs = prepared.map((run) => run.run(fill, ({ mixed }) => Number(mixed![0])));
    collect();
    for (const [i, run] of runs.entries()) expect((await run).value).toBeCloseTo(3 / (2 + i));
  }
  await engine.close();
});
