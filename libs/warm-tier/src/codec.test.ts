import { createEngine } from '@onepass/inference';
import type { KvTensors } from '@onepass/kv';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type Codec, openCodec } from './codec.js';
import { WARM_CODECS, type WarmCodec } from './entry.js';
import { emptyTensors, noise } from './made-up.suite.js';

const engine = createEngine({ provider: 'cpu', inFlight: 2, threads: 1 });
afterAll(() => engine.close());

const shape = { layers: 2, width: 24, capacity: 40 };
const codecs = new Map<WarmCodec, Promise<Codec>>();
function open(name: WarmCodec): Promise<Codec> {
  const codec = codecs.get(name) ?? openCodec(name, engine, shape);
  codecs.set(name, codec);
  return codec;
}

/** Keys as a trunk makes them: each channel around a place of its own, of its own spread. */
function lifelike(seed: number): KvTensors {
  const random = noise(seed);
  const places = Array.from({ length: shape.width }, () => 8 * random());
  const spreads = Array.from({ length: shape.width }, () => 10 ** (2 * random()));
  const tensor = () =>
    Float32Array.from({ length: shape.capacity * shape.width }, (_, i) => {
      const channel = i % shape.width;
      return places[channel]! + spreads[channel]! * (random() + random() + random());
    });
  return {
    keys: Array.from({ length: shape.layers }, tensor),
    values: Array.from({ length: shape.layers }, tensor),
  };
}

const all = ({ keys, values }: KvTensors) => [...keys, ...values];

async function roundTrip(name: WarmCodec, tensors: KvTensors, tokens: number) {
  const codec = await open(name);
  const payload = Buffer.allocUnsafeSlow(Math.max(128, codec.payloadBytes(tokens)));
  const finite = await codec.encode(tensors, tokens, payload, {});
  const back = emptyTensors(shape, Number.NaN);
  if (finite) await codec.decode(payload, tokens, back, {});
  return { codec, finite, back };
}

describe.each(WARM_CODECS)('%s', (name) => {
  test('fills the tokens that were written, and touches none behind them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: shape.capacity }), fc.nat(), async (tokens, seed) => {
        const { codec, finite, back } = await roundTrip(name, lifelike(seed), tokens);
        expect(finite).toBe(true);
        expect(codec.exact).toBe(name === 'f32');
        for (const tensor of all(back)) {
          expect(tensor.subarray(0, tokens * shape.width).every(Number.isFinite)).toBe(true);
          expect(tensor.subarray(tokens * shape.width).every(Number.isNaN)).toBe(true);
        }
      }),
      { seed: 3, numRuns: 15 },
    );
  });

  test('zeros and constants come back as they were', async () => {
    const tensors = emptyTensors(shape, 0);
    for (const [index, tensor] of all(tensors).entries()) tensor.fill([0, -1, 0.375, 20_480][index]!);
    const { back } = await roundTrip(name, tensors, shape.capacity);
    expect(back).toEqual(tensors);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    '%d anywhere in the tokens is told, behind them it is not looked at',
    async (wrong) => {
      const tokens = shape.capacity - 1;
      for (const [tensor, at] of [
        [0, 0],
        [3, tokens * shape.width - 1],
      ] as const) {
        const tensors = lifelike(1);
        all(tensors)[tensor]![at] = wrong;
        expect((await roundTrip(name, tensors, tokens)).finite).toBe(false);
      }
      const tensors = lifelike(1);
      for (const tensor of all(tensors)) tensor.fill(wrong, tokens * shape.width);
      expect((await roundTrip(name, tensors, tokens)).finite).toBe(true);
    },
  );

  test('an aborted run is told, and nothing is written afterwards', async () => {
    const codec = await open(name);
    const payload = Buffer.allocUnsafeSlow(codec.payloadBytes(4));
    const aborted = AbortSignal.abort();
    await expect(codec.encode(lifelike(1), 4, payload, { signal: aborted })).rejects.toMatchObject({
      kind: 'cancelled',
    });
  });
});

test('f32 gives back the same bits', async () => {
  const tensors = lifelike(5);
  for (const tensor of all(tensors)) tensor.set([-0, 1e-42, 3.4e38, 2 ** -149]);
  const { back } = await roundTrip('f32', tensors, shape.capacity);
  for (const [index, tensor] of all(back).entries())
    expect(Buffer.from(tensor.buffer).equals(Buffer.from(all(tensors)[index]!.buffer))).toBe(true);
});

test('f16 is off by at most its own rounding, and a number that it cannot hold is told', async () => {
  const tensors = lifelike(6);
  const { back } = await roundTrip('f16', tensors, shape.capacity);
  for (const [index, tensor] of all(back).entries()) {
    const was = all(tensors)[index]!;
    // Half of the last of 11 bits; below 2^-14 numbers lie 2^-24 apart.
    const within = (value: number, i: number) =>
      Math.abs(value - was[i]!) <= Math.max(Math.abs(was[i]!) * 2 ** -11, 2 ** -25);
    expect(tensor.every(within)).toBe(true);
  }
  tensors.values[1]![7] = 70_000;
  expect((await roundTrip('f16', tensors, shape.capacity)).finite).toBe(false);
});

test('i8 is off by at most half a step of its channel over the tokens', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: shape.capacity }), fc.nat(), async (tokens, seed) => {
      const tensors = lifelike(seed);
      tensors.keys[0]!.forEach((value, i, key) => {
        if (i % shape.width === 1) key[i] = value * 1e35;
      });
      const { back } = await roundTrip('i8', tensors, tokens);
      for (const [index, tensor] of all(tensors).entries())
        for (let channel = 0; channel < shape.width; channel++) {
          const of = (from: Float32Array) =>
            Array.from({ length: tokens }, (_, token) => from[token * shape.width + channel]!);
          const [was, is] = [of(tensor), of(all(back)[index]!)];
          const [most, least] = [Math.max(...was), Math.min(...was)];
          const half = (most / 254 - least / 254) / 2;
          const rounding = 2 ** -22 * Math.max(Math.abs(most), Math.abs(least));
          const worst = Math.max(...is.map((value, token) => Math.abs(value - was[token]!)));
          expect(worst).toBeLessThanOrEqual(half + rounding);
        }
    }),
    { seed: 4, numRuns: 12 },
  );
});
