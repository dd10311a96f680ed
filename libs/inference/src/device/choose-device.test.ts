import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadOnnxRuntime } from '../onnxruntime.js';
import { chooseDevice } from './choose-device.js';
import { compileFakeCuda } from './fake-cuda.js';

const directory = mkdtempSync(join(tmpdir(), 'onepass-libraries-'));
afterAll(() => rmSync(directory, { recursive: true }));

const library = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
  '../bin/napi-v6',
  process.platform,
  process.arch,
  'libonnxruntime.so.1',
);
symlinkSync(library, join(directory, 'libonnxruntime.so.1'));
const runtime = loadOnnxRuntime(directory);

function refused(device: `cuda:${number}`, why: RegExp): void {
  expect(() => chooseDevice(device, runtime)).toThrow(
    expect.objectContaining({
      kind: 'startup',
      message: expect.stringMatching(new RegExp(`^device ${device} is not to be had: ${why.source}$`)),
    }),
  );
  const chosen = chooseDevice('auto', runtime);
  expect(chosen.name).toBe('cpu');
  expect(chosen.reason).toMatch(/^cpu, as cuda:0 is not to be had: /);
}

test('what is missing for a GPU is one sentence each, and `auto` takes the CPU', () => {
  expect(chooseDevice('cpu', runtime)).toEqual({ name: 'cpu', reason: 'cpu as set' });
  refused(
    'cuda:0',
    /".*libonnxruntime_providers_cuda\.so" does not exist; for a GPU ONEPASS_ONNXRUNTIME_DIR must name a folder .*/,
  );
  writeFileSync(join(directory, 'libonnxruntime_providers_cuda.so'), 'no library');
  refused('cuda:0', /libcudart\.so\.13 \(CUDA 13\) cannot be loaded, from ".*" or where the system looks/);
  if (!compileFakeCuda(directory)) return;
  refused('cuda:0', /its execution provider cannot be used: .*/);
  process.env.FAKE_CUDA_DEVICES = '2';
  expect(() => chooseDevice('cuda:2', runtime)).toThrow('this machine has 2 CUDA devices, counted from cuda:0');
  process.env.FAKE_CUDA_DEVICES = '0';
  refused('cuda:0', /this machine has 0 CUDA devices, counted from cuda:0/);
  delete process.env.FAKE_CUDA_DEVICES;
});

test('one process has one library', () => {
  expect(() => loadOnnxRuntime('/elsewhere')).toThrow(
    /^ONNX Runtime is loaded from ".*" already, so not from "\/elsewhere\/libonnxruntime\.so\.1"$/,
  );
});
