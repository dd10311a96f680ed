import { expect, test } from 'vitest';
import type { LoadResult } from './ghz.js';
import type { Machine } from './machine.js';
import { errorsOf, type Findings, formatReport, type Round, summarise } from './report.js';

const machine: Machine = { cpu: 'A CPU', cores: 2, memoryGiB: 8, kernel: '6.1', node: '20.19.0' };

function round(qps: number, errors: LoadResult['errors'] = {}): Round {
  const load: LoadResult = { calls: 100, errors, qps, p50Ms: 5, p90Ms: 6, p99Ms: 7 };
  return {
    oneAtATime: { ...load, errors: {} },
    pure: { encode: 0.25, retrieveHead: 0.05, rank: 2.5, ann: 0.2, search: 0.4 },
    saturated: { load, cpuMs: { gateway: 1, ranking: 4 }, lagP99Ms: { gateway: 2, ranking: 3 } },
    bareOneAtATime: { ...load, errors: {} },
    bareSaturated: { load, cpuMs: { gateway: 0.5, ranking: 0.5 } },
  };
}

function findings(rounds: readonly Round[]): Findings {
  return {
    date: '2026-01-01',
    machine,
    release: { id: 'r-0123456789ab', name: 'synthetic', width: 128, layers: 4 },
    items: 20_000,
    people: 4,
    seconds: 1,
    warm: { past: 256, candidates: 200, queries: 2, stageMs: { encode: 1.5 } },
    search: [],
    concurrency: 8,
    rounds,
    residentMiB: { gateway: 90, ranking: 110 },
  };
}

test('overhead is what a request costs beyond pure compute, by both definitions', () => {
  const summary = summarise(findings([round(100), round(200), round(400)]));
  expect(summary.pureMs).toBeCloseTo(3);
  expect(summary.meshCpuMs).toBe(5);
  expect(summary.overheadMs).toBeCloseTo(2);
  expect(summary.overheadToBare).toBeCloseTo(2);
  // 2 cores at 200 a second: 10 CPU-ms a request.
  expect(summary.coresPerQpsMs).toBe(10);
  expect(summary.coresOverheadMs).toBeCloseTo(7);
});

test('the report names machine, release and shapes, and its tables are aligned', () => {
  const report = formatReport(findings([round(200)]));
  expect(report).toContain('A CPU, 2 cores, 8 GiB, Linux 6.1, Node 20.19.0');
  expect(report).toContain('r-0123456789ab (synthetic): d=128, 4 layers, 20000 items');
  expect(report).toContain('256 past tokens, 200 candidates');
  expect(report).toContain('Failed or degraded calls: none');
  for (const block of report.split('\n\n').filter((b) => b.startsWith('|'))) {
    expect(
      new Set(
        block
          .trim()
          .split('\n')
          .map((line) => line.length),
      ).size,
    ).toBe(1);
  }
});

test('failed and degraded calls are counted over all rounds', () => {
  const all = findings([round(200, { degraded: 2 }), round(200, { degraded: 1, Unavailable: 1 })]);
  expect(errorsOf(all)).toEqual({ degraded: 3, Unavailable: 1 });
  expect(formatReport(all)).toContain('3 degraded, 1 Unavailable');
});
