import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDeviceModel } from '@onepass/device-trunk';
import { DEVICE_GRAPHS } from '@onepass/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attentionOf, openDeviceModel, parseAttention } from './device-graphs.js';

let folder: string;
let directory: string;
let release: { id: string };
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'onepass-device-graphs-'));
  directory = join(folder, 'graphs');
  cpSync(DEVICE_GRAPHS.smoke, directory, { recursive: true });
  release = { id: (await readDeviceModel(directory)).releaseId! };
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Changes what device.json says. */
function describe(change: (description: Record<string, unknown>) => void): void {
  const path = join(directory, 'device.json');
  const description = JSON.parse(readFileSync(path, 'utf8'));
  change(description);
  writeFileSync(path, JSON.stringify(description));
}

test('the graphs of the release, and each way to compute attention that there is', async () => {
  const model = await openDeviceModel(directory, release);
  expect(attentionOf(model, {})).toEqual({ prefill: 'plain', encode: 'plain', rank: 'plain' });
  expect(() => attentionOf(model, { rank: 'mha' })).toThrow(
    `ONEPASS_DEVICE_ATTENTION: ${directory} has no rank graph with attention "mha": plain`,
  );
  expect(
    attentionOf({ ...model, graphs: { ...model.graphs, rank: { mha: 'rank.plain.onnx', plain: '' } } }, {}),
  ).toEqual({
    prefill: 'plain',
    encode: 'plain',
    rank: 'mha',
  });
});

test('of another release, or of none: one sentence', async () => {
  await expect(openDeviceModel(directory, { id: 'r-000000000000' })).rejects.toMatchObject({
    kind: 'startup',
    message: `ONEPASS_DEVICE_GRAPHS: ${directory} has device graphs of release ${release.id}, served is r-000000000000`,
  });
  describe((description) => {
    delete description.releaseId;
  });
  await expect(openDeviceModel(directory, release)).rejects.toThrow('device graphs of made-up weights, served is r-');
});

test.each(['weights.bin', 'rank.plain.onnx'])('%s that is altered or missing is named', async (name) => {
  const path = join(directory, name);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  await expect(openDeviceModel(directory, release)).rejects.toThrow(
    `device graphs ${directory}: ${name} does not have the checksum that device.json says`,
  );
  rmSync(path);
  await expect(openDeviceModel(directory, release)).rejects.toThrow(`device graphs ${directory}: ${name} is missing`);
});

test('a graph whose checksum is not known does not serve, nor do graphs without one for people without a past', async () => {
  describe(({ files }) => {
    delete (files as Record<string, string>)['encode.plain.onnx'];
  });
  const model = await openDeviceModel(directory, release);
  expect(() => attentionOf(model, {})).toThrow('device.json has no checksum of encode.plain.onnx');
  const { prefill, ...graphs } = model.graphs;
  expect(prefill).toBeDefined();
  expect(() => attentionOf({ ...model, graphs }, {})).toThrow('has no prefill graph');
});

test('how attention is asked for', () => {
  expect(parseAttention('auto')).toEqual({});
  expect(parseAttention('mha')).toEqual({ prefill: 'mha', encode: 'mha', rank: 'mha' });
  expect(parseAttention('prefill=gqa,rank=plain')).toEqual({ prefill: 'gqa', rank: 'plain' });
  for (const wrong of ['gather=plain', 'encode=', 'encode=mha,', 'encode=mha=plain'])
    expect(() => parseAttention(wrong)).toThrow('must be auto, a name, or GRAPH=NAME');
});
