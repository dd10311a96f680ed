import { OnepassError, startupError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { sentenceOf } from './sentence.js';

test('what is behind an error stands beside it, once', () => {
  const behind = new Error('no room');
  expect(sentenceOf(startupError('it cannot be prepared: no room', behind))).toBe('it cannot be prepared: no room');
  expect(sentenceOf(new OnepassError({ kind: 'internal' }, 'a graph run failed', { cause: behind }))).toBe(
    'a graph run failed (no room)',
  );
});

test('places in native sources are no part of a sentence', () => {
  const said =
    "graph rank.mha.onnx cannot be prepared: Non-zero status code returned while running MultiHeadAttention node. Name:'' Status Message: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_kernel.h:296 static cudnnContext* onnxruntime::cuda::CudaKernel::RequireCudnnHandle(cudnnHandle_t) [ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : cuDNN is unavailable";
  expect(sentenceOf(new Error('x', { cause: 1 }))).toMatch(/\S/);
  expect(sentenceOf(startupError(said))).toBe(
    'graph rank.mha.onnx cannot be prepared: MultiHeadAttention node. cuDNN is unavailable',
  );
});
