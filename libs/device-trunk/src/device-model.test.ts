import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { expect, test } from 'vitest';
import { graphPath, readDeviceModel } from './device-model.js';

test('says what the graphs are like, and where each is', async () => {
  const model = await readDeviceModel(DEVICE_GRAPHS.smoke);
  expect(model).toMatchObject({ dtype: 'float32', pageTokens: 4, width: 32, window: 32 });
  const { id } = JSON.parse(await readFile(join(SMOKE_RELEASE, 'manifest.json'), 'utf8'));
  expect(model.releaseId).toBe(id);
  expect(model.files[model.weights]).toMatch(/^[0-9a-f]{64}$/);
  expect(graphPath(model, 'rank', 'plain')).toBe(join(DEVICE_GRAPHS.smoke, 'rank.plain.onnx'));
  expect(() => graphPath(model, 'rank', 'gqa')).toThrow(/device.json" has no rank graph with attention "gqa": plain$/);
});

test.each([
  ['{', /device.json" is not JSON/],
  ['null', /device.json" does not describe device graphs: Invalid input/],
  ['{"formatVersion":2}', /device.json" does not describe device graphs: formatVersion: /],
])('%s is one sentence that names the file', async (text, sentence) => {
  const directory = await mkdtemp(join(tmpdir(), 'onepass-device-model-'));
  await expect(readDeviceModel(directory)).rejects.toThrow(/device.json" cannot be read: are there device graphs\?/);
  await writeFile(join(directory, 'device.json'), text);
  await expect(readDeviceModel(directory)).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringMatching(sentence),
  });
  await rm(directory, { recursive: true });
});
