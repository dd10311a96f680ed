import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './paths.mjs';

test('ONNX Runtime with CUDA is of the version of the npm package', async () => {
  const script = await readFile(join(root, 'scripts', 'gpu-libraries.mjs'), 'utf8');
  const { dependencies } = JSON.parse(await readFile(join(root, 'libs', 'inference', 'package.json'), 'utf8'));
  expect(/onnxruntime-gpu==(\S+)/.exec(script)?.[1]).toBe(dependencies['onnxruntime-node']);
});
