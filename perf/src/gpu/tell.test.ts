import { expect, test } from 'vitest';
import { figuresOf } from './figures.js';
import type { GpuFindings } from './findings.js';
import type { GpuCase } from './gpu-case.js';
import { gpuPage } from './page.js';
import { tellFindings } from './tell.js';

const OWN: GpuCase = { system: 'onepass', timed: 'rank', batch: 2, rows: 0, attention: 'plain', captured: false };
const SHAPE = { layers: 12, width: 768, heads: 12, n: 992, k: 656, batch: 8, dtype: 'float16' } as const;

function findings(): GpuFindings {
  const of = (some: Partial<GpuCase>, micros: number) => ({
    case: { ...OWN, batch: 8, ...some },
    rounds: [micros, micros].map((deviceMicros, round) => ({ round, deviceMicros, wallMicros: deviceMicros + 100 })),
  });
  const measured = [
    of({ timed: 'recompute' }, 5000),
    of({ captured: true }, 2000),
    of({ batch: 1 }, 500),
    of({ timed: 'append', rows: 8 }, 300),
    of({ timed: 'append', rows: 1 }, 200),
    of({ timed: 'encode', rows: 992 }, 3000),
    of({ system: 'pytorch', attention: 'flex, compiled' }, 1900),
  ];
  return {
    date: '2026-01-01',
    machine: {
      ...{
        cpu: 'Some CPU',
        cores: 16,
        memoryGiB: 128,
        kernel: '6',
        node: '20.20.2',
        device: 'cuda:0',
        name: 'Some <GPU>',
      },
      ...{
        reason: 'cuda:0, as set',
        totalGiB: 80,
        driver: '580',
        onnxruntime: '1.30.0',
        torch: '2.11',
        torchCuda: '13.0',
      },
    },
    shape: SHAPE,
    measured,
    compared: [{ case: measured[1]!.case, agreement: { worst: 0.0012, mean: 1e-4, kendall: 0.998 } }],
    figures: figuresOf(measured, SHAPE),
    memory: { personBytes: 36.6e6, takenBytes: 9e9 },
    notes: ['gqa is left out: no kernel'],
    done: true,
  };
}

test('the table says where, in the order of a page, and what was met and left out', () => {
  const told = tellFindings(findings());
  expect(told[0]).toContain(
    'Some <GPU>, driver 580 (Some CPU, 16 cores); ONNX Runtime 1.30.0, PyTorch 2.11 (CUDA 13.0)',
  );
  const cases = told.filter((line) => /\| {1,}2 \|$/.test(line)).map((line) => line.split('|')[1]!.trim());
  expect(cases.slice(0, 4)).toEqual([
    'encode, plain, B=8',
    'append 1, plain, B=8',
    'append 8, plain, B=8',
    'rank, plain, captured, B=8',
  ]);
  expect(told.find((line) => line.includes('gpu_kv_speedup:'))).toMatch(/2\.50 .*>= 2.2, met/);
  expect(told.find((line) => line.includes('gpu_append_speedup'))).toMatch(/15\.0 .*>= 20, missed/);
  expect(told.find((line) => line.includes('1.2e-3'))).toContain('0.99800');
  expect(told.at(-1)).toBe('- gqa is left out: no kernel');
});

test('the page has its pictures and no markup of names', () => {
  const page = gpuPage(findings());
  expect(page.match(/<svg/g)?.length).toBe(8);
  expect(page).not.toContain('<GPU>');
  expect(page).not.toMatch(/NaN|undefined|Infinity/);
  expect(page).not.toMatch(/(src|href)="(?!data:)/);
});

test('nothing measured is a page too', () => {
  const nothing = { ...findings(), measured: [], compared: [], figures: {} };
  expect(gpuPage(nothing)).not.toMatch(/NaN|undefined|Infinity/);
  expect(tellFindings(nothing).length).toBeGreaterThan(2);
});
