import { expect, test } from 'vitest';
import type { GpuCase } from './gpu-case.js';
import { LeftOut } from './left-out.js';

const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 1, rows: 0, attention: 'mha', captured: false };

test('what is left out for the same reason is one line', () => {
  const left = new LeftOut();
  for (const batch of [1, 2, 4, 8])
    left.add(
      { ...OWN, batch },
      `graph rank.mha.onnx cannot be prepared for b=${batch}, k=12 in 1 lanes: cuDNN is unavailable`,
    );
  left.add({ ...OWN, timed: 'gather', attention: 'none' }, 'no time was left');
  expect(left.lines).toEqual([
    'rank, mha, B=1; rank, mha, B=2; rank, mha, B=4 and 1 more: left out: cuDNN is unavailable',
    'gather, B=1: left out: no time was left',
  ]);
});
