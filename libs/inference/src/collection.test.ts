import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createEngine } from './index.js';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

// In a file of its own: the reference API, loaded in this process, would keep the native library from being unloaded.
test('nothing the native side still uses is collected', async () => {
  const engine = createEngine({ provider: 'cpu', inFlight: 3, threads: 1 });
  const graph = await engine.load(fileURLToPath(new URL('../fixtures/attend.onnx', import.meta.url)));
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
