import { expect, test } from 'vitest';
import { DeviceFaults, faultOfCode, faultOfMessage } from './faults.js';

test.each([
  [
    'Non-zero status code returned while running MatMul node. CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=h ; file=/x.cc ; line=1',
    'lost',
  ],
  ['CUDA failure 719: unspecified launch failure ; GPU=0', 'lost'],
  ['CUDA error 999', 'lost'],
  ['CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0', 'lost'],
  ['CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; expr=cudaMalloc((void**)&p, size);', 'memory'],
  ['BFCArena::AllocateRawInternal(size_t) Available memory of 512 is smaller than requested bytes of 1024', 'memory'],
  ['Failed to allocate memory for requested buffer of size 4096', 'memory'],
  ['CUDA failure 900: operation not permitted when stream is capturing', 'other'],
  ['Got invalid dimensions for input: rows', 'other'],
])('%s is %s', (message, kind) => {
  expect(faultOfMessage(message)).toBe(kind);
});

test('codes', () => {
  expect([2, 46, 100, 214, 700, 719, 999, 1, 35, 900].map(faultOfCode)).toEqual([
    'memory',
    'lost',
    'lost',
    'lost',
    'lost',
    'lost',
    'lost',
    'other',
    'other',
    'other',
  ]);
});

test('a run is told what its failure means for it', () => {
  const told: string[] = [];
  const faults = new DeviceFaults('cuda:1', (error) =>
    told.push(`${error.message}: ${(error.cause as Error).message}`),
  );
  const kinds = [
    'Got invalid dimensions',
    'CUDA failure 2: out of memory',
    'CUDA failure 719: x',
    'CUDA failure 700: y',
  ];
  expect(kinds.map((message) => faults.runError('rank.onnx', new Error(message)).kind)).toEqual([
    'internal',
    'overloaded',
    'unavailable',
    'unavailable',
  ]);
  expect(told).toEqual(['the device cuda:1 is lost: CUDA failure 719: x']);
  expect(() => faults.requireDevice()).toThrow('the device cuda:1 is lost');
});
