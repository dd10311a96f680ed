import { expect, test } from 'vitest';
import { stagesOf } from './bench-cases.js';
import { describeCase } from './gpu-case.js';

const ATTENTIONS = { rank: ['plain', 'mha'], encode: ['plain', 'mha', 'paged'], prefill: ['plain', 'gqa'] };

test('what goals are of comes first, captured before not, and no case twice', () => {
  const stages = stagesOf({ n: 992, batch: 8 }, ATTENTIONS, true);
  const first = stages[0]!.cases.map(describeCase);
  expect(first[0]).toBe('rank, plain, captured, B=8');
  expect(first).toContain('recompute, plain, B=8');
  expect(first).toContain('prefill, gqa, captured, B=8');
  expect(first).toContain('append 1, paged, captured, B=8');
  expect(first.every((name) => name.endsWith('B=8'))).toBe(true);
  const all = stages.flatMap(({ cases }) => cases.map(describeCase));
  expect(new Set(all).size).toBe(all.length);
  expect(all).toEqual(
    expect.arrayContaining(['gather, captured, B=8', 'rank, mha, B=1', 'append 32, mha, B=8', 'encode, plain, B=4']),
  );
});

test('one person alone is one batch, and appends are shorter than what is held', () => {
  const stages = stagesOf({ n: 20, batch: 1 }, ATTENTIONS, false);
  const all = stages.flatMap(({ cases }) => cases.map(describeCase));
  expect(stages).toHaveLength(2);
  expect(all.filter((name) => name.startsWith('append 32'))).toEqual([]);
  expect(all.some((name) => name.includes('captured'))).toBe(false);
});
