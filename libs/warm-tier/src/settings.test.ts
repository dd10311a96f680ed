import { readSettings } from '@onepass/config';
import { FakeEngine } from '@onepass/inference';
import { silentLogger } from '@onepass/telemetry';
import { expect, test } from 'vitest';
import { openWarmTier, warmTierSettings } from './index.js';

const read = (env: Record<string, string>) => ({ ...readSettings(warmTierSettings, env), dataDir: '/nowhere' });
const parts = {
  engine: new FakeEngine({}),
  releaseId: 'r-1',
  shape: { layers: 1, width: 4, capacity: 8 },
  lease: () => undefined,
  logger: silentLogger,
};

test('it is off unless asked for', async () => {
  const settings = read({});
  expect(settings).toMatchObject({ warmTier: 'off', warmCodec: 'f32', warmRedis: undefined, warmTimeoutMs: 20 });
  expect(await openWarmTier(settings, parts)).toBeUndefined();
});

test('a Redis is named as that of histories is, and a mistake tells no password', async () => {
  const { warmRedis } = read({ ONEPASS_WARM_REDIS: 'redis://:pw@h:6380/2' });
  expect(warmRedis).toMatchObject({ nodes: [{ host: 'h', port: 6380 }], password: 'pw', database: 2 });
  for (const wrong of ['lmdb', 'redis://:secret@h:port'])
    expect(() => read({ ONEPASS_WARM_REDIS: wrong })).toThrow(
      /^ONEPASS_WARM_REDIS: must be none or redis:(?!.*secret)/,
    );
});

test('Redis without its name, and a graph that is missing, are one sentence', async () => {
  const withGraph = (name: string) => ({
    ...parts,
    engine: new FakeEngine({ [name]: { inputs: [], outputs: [], run: () => {} } }),
  });
  await expect(openWarmTier(read({ ONEPASS_WARM_TIER: 'redis' }), withGraph('f32-encode.onnx'))).rejects.toMatchObject({
    kind: 'startup',
    message: 'ONEPASS_WARM_REDIS is not set, and ONEPASS_WARM_TIER is redis',
  });
  await expect(openWarmTier(read({ ONEPASS_WARM_TIER: 'disk' }), parts)).rejects.toMatchObject({ kind: 'startup' });
});
