import { expect, test } from 'vitest';
import { faultsOf, lastCapture, nodesOf, productFlops, shortName, takenBytes } from './trace.js';

const TRACE = [
  '7\t0xa\tkernel\tbefore\t1,1,1\t1,1,1\t0',
  '7\t0xa\tcapture',
  '7\t0xa\tkernel\t_Z3onev\t1,1,1\t1,1,1\t0',
  '8\t0xb\tkernel\tof_another\t1,1,1\t1,1,1\t0',
  '7\t0xa\tproduct\tGemmEx\t2\t3\t4\t5\t2',
  '7\t0xa\tcopy\tpinned\tdevice\t24',
  '7\t0xa\tmemset\t16',
  '7\t0xa\tkernel\t_Z3onev\t1,1,1\t1,1,1\t0',
  '7\t(nil)\tfault\tcudaMalloc while a stream is captured',
  '7\t(nil)\tcudaMalloc\t1000\t900',
  '7\t(nil)\tcudaMalloc\t16\t0',
  '7\t0xa\tcaptured\t5',
  '7\t0xa\treplay\t5',
  '',
].join('\n');

test('work between the marks of a capture, in its thread and stream', () => {
  const work = lastCapture(TRACE)!;
  expect(work).toEqual({
    kernels: ['_Z3onev', '_Z3onev'],
    products: [{ m: 2, n: 3, k: 4, batch: 5 }],
    copies: [{ from: 'pinned', to: 'device', bytes: 24 }],
    memsets: 1,
  });
  expect([nodesOf(work), productFlops(work), takenBytes(TRACE), faultsOf(TRACE)]).toEqual([
    5,
    240,
    16,
    ['cudaMalloc while a stream is captured'],
  ]);
  expect(lastCapture('7\t0xa\tcapture\n')).toBeUndefined();
});

test('short names of kernels', () => {
  expect(shortName('void onnxruntime::cuda::_GatherKernel<int>(long, onnxruntime::cuda::DivMod<int>)')).toBe(
    '_GatherKernel',
  );
  expect(shortName('void cuda::(anonymous namespace)::one<(Kind)1>(int)')).toBe('one');
});
