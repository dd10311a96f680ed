import { SMOKE_RELEASE } from '@onepass/testing';
import { expect, test } from 'vitest';
import { bench } from './bench.js';
import { findGhz } from './ghz.js';
import { type BenchOptions, parseOptions } from './options.js';
import { errorsOf, summarise } from './report.js';

const options = parseOptions(['--smoke', '--release', SMOKE_RELEASE], '/') as BenchOptions;

test.skipIf(!hasGhz())(
  'a smoke run loads the mesh with ghz and finds a figure for everything',
  { timeout: 60_000 },
  async () => {
    const findings = await bench(options, () => {});
    // Pages may be degraded or refused when other tests take the processor; a call that fails otherwise is a defect at any load.
    const normal = ['degraded', 'ResourceExhausted'];
    expect(Object.keys(errorsOf(findings)).filter((status) => !normal.includes(status))).toEqual([]);
    expect(findings.warm.past).toBeGreaterThan(0);
    const { pure, cpuMs, lagP99Ms, ...figures } = summarise(findings);
    const all = [
      ...Object.values(figures),
      ...Object.values(pure),
      ...Object.values(cpuMs),
      ...Object.values(lagP99Ms),
    ];
    expect(all.filter((figure) => !Number.isFinite(figure))).toEqual([]);
    expect(Object.keys(cpuMs).sort()).toEqual(['gateway', 'ranking', 'retrieval', 'user-encoder']);
  },
);

function hasGhz(): boolean {
  try {
    return findGhz() !== '';
  } catch {
    return false;
  }
}
