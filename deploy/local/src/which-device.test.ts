import { expect, test } from 'vitest';
import { whichDevice } from './which-device.js';

const ask = (provider: string) =>
  whichDevice({ ...process.env, ONEPASS_EXECUTION_PROVIDER: provider, ONEPASS_ONNXRUNTIME_DIR: '' });

test('as the device cell would find out itself', async () => {
  expect(await ask('cpu')).toEqual({ name: 'cpu', reason: 'cpu as set' });
  expect(await ask('auto')).toEqual({
    name: 'cpu',
    reason: expect.stringMatching(/^cpu, as cuda:0 is not to be had: /),
  });
});

test('what cannot be had is the cell’s sentence', async () => {
  await expect(ask('cuda:0')).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringMatching(
      /^onepass device-cell: device cuda:0 is not to be had: .* ONEPASS_ONNXRUNTIME_DIR must name a folder .*gpu-libraries/,
    ),
  });
  await expect(ask('tpu')).rejects.toThrow('onepass device-cell: ONEPASS_EXECUTION_PROVIDER: ');
});
