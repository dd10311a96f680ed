import { expect, test } from 'vitest';
import { kernelsOf } from './kernels.js';

test('kernels are of the pass whose name came before, each once', () => {
  const said = [
    '== rank, mha, B=8',
    '\u001b[36mOperator=MultiHeadAttention Node=attend DataType=fp16 SdpaKernel=FLASH_ATTENTION\u001b[0m',
    'Operator=MultiHeadAttention DataType=fp16 SdpaKernel=FLASH_ATTENTION',
    '== append 1, mha, B=8',
    'SdpaKernel=EFFICIENT_ATTENTION',
    'SdpaKernel=MATH',
    '== rank, plain, B=8',
    '',
  ].join('\n');
  expect([...kernelsOf(said)]).toEqual([
    ['rank, mha, B=8', ['flash_attention']],
    ['append 1, mha, B=8', ['efficient_attention', 'math']],
  ]);
});
