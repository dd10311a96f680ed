import { type DeviceModel, readDeviceModel } from '@onepass/device-trunk';
import { DEVICE_GRAPHS } from '@onepass/testing';
import { expect, test } from 'vitest';
import { kvBytes } from './open-device.js';

/** K and V of a token of 8 layers of width 1024 in float32 are 64 KiB, so a page is 1 MiB, a history of 64 tokens 4. */
async function model(): Promise<DeviceModel> {
  const graphs = await readDeviceModel(DEVICE_GRAPHS.smoke);
  return { ...graphs, layers: 8, width: 1024, pageTokens: 16, window: 60, contextRows: 4 };
}

const MIB = 2 ** 20;

test('KV is of whole histories in every slot and two pages beside them, unless less is set', async () => {
  const of = await model();
  expect(kvBytes({ kvSlots: 10, kvMiB: 0 }, of)).toBe(42 * MIB);
  expect(kvBytes({ kvSlots: 10, kvMiB: 20 }, of)).toBe(20 * MIB);
  expect(kvBytes({ kvSlots: 10, kvMiB: 50 }, of)).toBe(42 * MIB);
});

test('less than one history is one sentence that names the setting', async () => {
  const of = await model();
  expect(kvBytes({ kvSlots: 10, kvMiB: 6 }, of)).toBe(6 * MIB);
  expect(() => kvBytes({ kvSlots: 10, kvMiB: 5 }, of)).toThrow(
    'ONEPASS_KV_MIB: 5 MiB have no room for one full history, which takes 6',
  );
});
