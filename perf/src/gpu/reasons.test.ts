import { expect, test } from 'vitest';
import type { GpuCase } from './gpu-case.js';
import { Reasons } from './reasons.js';

const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 1, rows: 0, attention: 'mha', captured: false };

test('what went wrong for the same reason is one line', () => {
  const reasons = new Reasons();
  for (const batch of [1, 2, 4, 8])
    reasons.add(
      { ...OWN, batch },
      `graph rank.mha.onnx cannot be prepared for b=${batch}, k=12 in 1 lanes: cuDNN is unavailable`,
    );
  reasons.add({ ...OWN, timed: 'gather', attention: 'none' }, 'no time was left');
  expect(reasons.lines).toEqual([
    'rank, mha, B=1; rank, mha, B=2; rank, mha, B=4 and 1 more: cuDNN is unavailable',
    'gather, B=1: no time was left',
  ]);
});
