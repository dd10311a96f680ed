import { EmbeddingType } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { narrowF16, widenF16 } from './float16.js';
import { quantiseI8 } from './int8.js';
import { decodeEmbedding, decodeEmbeddings, encodeEmbedding, encodeEmbeddings, LARGEST } from './wire.js';

const { F32, F16, I8, UNSPECIFIED } = EmbeddingType;

/** The same bytes at an odd offset, as they come out of a message. */
function unaligned(bytes: Uint8Array): Uint8Array {
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  return shifted.subarray(1);
}

function fieldOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof OnepassError && error.detail.kind === 'invalid_argument') {
      return error.detail.violations[0]?.field;
    }
    throw error;
  }
  return undefined;
}

describe('embeddings on the wire', () => {
  const dimension = 5;
  const rows = fc
    .array(fc.array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: dimension, maxLength: dimension }), {
      minLength: 1,
      maxLength: 6,
    })
    .map((list) => Float32Array.from(list.flat()));

  test('come back as sent, exactly in f32, to the nearest f16, within half a step in int8', () => {
    fc.assert(
      fc.property(rows, (values) => {
        for (const type of [F32, F16, I8] as const) {
          const sent = encodeEmbeddings(values, dimension, type);
          const got = decodeEmbeddings(
            { ...sent, values: unaligned(sent.values), scales: unaligned(sent.scales) },
            'queries',
            dimension,
          );
          expect(got.rows).toBe(values.length / dimension);
          for (let i = 0; i < values.length; i++) {
            if (type === F32) expect(got.values[i]).toBe(values[i]);
            else if (type === F16) expect(got.values[i]).toBe(widenF16(narrowF16(values[i]!)));
            else expect(Math.abs(got.values[i]! - values[i]!)).toBeLessThanOrEqual((2 / 127 / 2) * 1.001);
          }
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test('one embedding in each type', () => {
    const values = Float32Array.of(0.5, -1, 0.25, 0, 1);
    expect([...decodeEmbedding(encodeEmbedding(values, F32), 'e', 5)]).toEqual([...values]);
    expect([...decodeEmbedding(encodeEmbedding(values, F16), 'e', 5)]).toEqual([...values]);
    expect(decodeEmbedding(encodeEmbedding(values, I8), 'e', 5)[1]).toBeCloseTo(-1, 6);
  });

  test('no batch and an empty one are no rows', () => {
    expect(decodeEmbeddings(undefined, 'queries', 4).rows).toBe(0);
    expect(decodeEmbeddings(encodeEmbeddings(new Float32Array(0), 4, F16), 'queries', 4).rows).toBe(0);
  });

  test('refuses by field', () => {
    const good = encodeEmbeddings(new Float32Array(8).fill(0.5), 4, F16);
    const quantised = encodeEmbeddings(new Float32Array(8).fill(0.5), 4, I8);
    const of = (changes: object) => () => decodeEmbeddings({ ...good, ...changes }, 'queries', 4);
    expect(fieldOf(of({}))).toBeUndefined();
    expect(fieldOf(of({ type: UNSPECIFIED }))).toBe('queries.type');
    expect(fieldOf(of({ type: 99 }))).toBe('queries.type');
    expect(fieldOf(of({ dimension: 8 }))).toBe('queries.dimension');
    expect(fieldOf(of({ dimension: 0 }))).toBe('queries.dimension');
    expect(fieldOf(of({ values: good.values.subarray(1) }))).toBe('queries.values');
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      for (const type of [F32, F16] as const) {
        const values = Float32Array.of(1, 0, 0, 0, 0, bad, 0, 0);
        expect(() => decodeEmbeddings(encodeEmbeddings(values, 4, type), 'queries', 4)).toThrow(
          'queries.values: row 1 holds a number that is not finite',
        );
      }
      const scales = new Uint8Array(Float32Array.of(1, bad).buffer);
      expect(fieldOf(() => decodeEmbeddings({ ...quantised, scales }, 'queries', 4))).toBe('queries.scales');
      const one = { ...encodeEmbedding(new Float32Array(4).fill(1), I8), scale: bad };
      expect(fieldOf(() => decodeEmbedding(one, 'e', 4))).toBe('e.scale');
    }
    const few = { ...quantised, scales: quantised.scales.subarray(4) };
    expect(fieldOf(() => decodeEmbeddings(few, 'queries', 4))).toBe('queries.scales');
    // Finite byte x finite scale can still leave float32.
    const huge = { ...quantised, scales: new Uint8Array(Float32Array.of(3e38, 1).buffer) };
    expect(fieldOf(() => decodeEmbeddings(huge, 'queries', 4))).toBe('queries.values');
    for (const size of [LARGEST, -LARGEST]) {
      expect(decodeEmbedding(encodeEmbedding(Float32Array.of(size), F32), 'e', 1)[0]).toBe(size);
      const beyond = encodeEmbedding(Float32Array.of(size * 1.001), F32);
      expect(() => decodeEmbedding(beyond, 'e', 1)).toThrow('e.values: row 0 holds a number beyond 65504');
    }
    expect(fieldOf(() => decodeEmbedding({ ...good, scale: 0 }, 'e', 4))).toBe('e.values');
    expect(fieldOf(() => decodeEmbedding({ ...good, values: new Uint8Array(0), scale: 0 }, 'e', 4))).toBe('e.values');
  });

  test('a row of zeros and a vanishing one quantise to zeros', () => {
    const out = Int8Array.of(1, 1, 1);
    expect(quantiseI8(new Float32Array(3), out)).toBe(0);
    expect([...out]).toEqual([0, 0, 0]);
    expect(quantiseI8(Float32Array.of(1e-45, 0, 0), out)).toBe(0);
  });
});
