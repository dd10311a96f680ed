import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kvSlots } from './kv-slots.js';

const modelOf = (layers: number, width: number, window: number) => ({ layers, width, window, contextRows: 8 });
const kept = { keepsKv: true, inFlight: 2 };

test('pools share what one has alone, slot for slot, and nobody gets more than there is', () => {
  const shape = fc.record({
    layers: fc.integer({ min: 1, max: 24 }),
    width: fc.integer({ min: 16, max: 1_024 }),
    window: fc.integer({ min: 8, max: 2_048 }),
    slots: fc.integer({ min: 8, max: 5_000 }),
  });
  fc.assert(
    fc.property(shape, ({ layers, width, window, slots }) => {
      const model = modelOf(layers, width, window);
      // Every tensor begins on a page.
      const tensorBytes = Math.ceil(((window + 8) * width * 4) / 4096) * 4096;
      const slotMiB = (2 * layers * tensorBytes) / 2 ** 20;
      const kvMiB = slots * slotMiB;
      const one = kvSlots(model, { ...kept, kvMiB, pools: 1 });
      const wholeMiB = (slots - (slots % 4)) * slotMiB;
      expect(one).toEqual({ slots: slots - (slots % 4), kvMiB: wholeMiB, poolsMiB: wholeMiB });
      for (const pools of [2, 4] as const) {
        expect(kvSlots(model, { ...kept, kvMiB, pools })).toEqual({ ...one, slots: one.slots / pools });
      }
    }),
    { seed: 1 },
  );
});

test('what is not kept takes memory all the same, in every pool', () => {
  const { slots, kvMiB, poolsMiB } = kvSlots(modelOf(12, 512, 992), {
    kvMiB: 1,
    keepsKv: false,
    pools: 2,
    inFlight: 2,
  });
  expect([slots, kvMiB]).toEqual([43, 0]);
  expect(poolsMiB).toBeCloseTo(2 * 43 * 46.875);
});

test('what is not kept has slots enough for pages in flight, and does not count as kept', () => {
  const slots = (model: ReturnType<typeof modelOf>) =>
    kvSlots(model, { kvMiB: 1, keepsKv: false, pools: 2, inFlight: 2 }).slots;
  expect(slots(modelOf(4, 128, 256))).toBe(128);
  expect(slots(modelOf(12, 512, 992))).toBe(43);
  expect(slots(modelOf(96, 4_096, 8_192))).toBe(16);
});

test('too little memory is refused, the same for every system', () => {
  for (const pools of [1, 2, 4] as const) {
    expect(() => kvSlots(modelOf(12, 512, 992), { ...kept, kvMiB: 300, pools })).toThrow(
      '300 MiB of KV are too little: a slot takes 46.9 MiB, and 4 pools, each for 2 graph runs, need 375',
    );
  }
});
