import { expect, test } from 'vitest';
import type { GpuCase, MeasuredCase } from './gpu-case.js';
import { describeAttention, fastestAttention } from './soak-attention.js';

const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 8, rows: 0, attention: 'plain', captured: false };
const of = (some: Partial<GpuCase>, deviceMicros: number): MeasuredCase => ({
  case: { ...OWN, ...some },
  rounds: [{ round: 0, deviceMicros, wallMicros: deviceMicros }],
});

test('each graph has the attention that its passes were fastest with', () => {
  const measured = [
    of({}, 10),
    of({ attention: 'mha' }, 8),
    of({ timed: 'append', rows: 1, attention: 'attention' }, 1),
    of({ timed: 'append', rows: 1, attention: 'mha' }, 2),
    of({ timed: 'append', rows: 1, attention: 'paged' }, 0.5),
    of({ timed: 'append', rows: 8, attention: 'mha' }, 0.1),
    of({ timed: 'prefill', rows: 992, attention: 'gqa' }, 5),
    of({ system: 'pytorch', attention: 'flex' }, 1),
  ];
  const found = fastestAttention(measured, 8);
  expect(found).toEqual({ encode: 'attention', rank: 'mha', prefill: 'gqa' });
  expect(describeAttention(found!)).toBe('prefill gqa, encode attention, rank mha');
  expect(fastestAttention(measured.slice(0, 2), 8)).toBeUndefined();
  expect(fastestAttention(measured, 4)).toBeUndefined();
});
