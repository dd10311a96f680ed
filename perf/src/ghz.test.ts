import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findGhz, parseGhz } from './ghz.js';

test("ghz's report in our words: milliseconds, and errors by status", () => {
  const report = {
    count: 1000,
    rps: 250.5,
    latencyDistribution: [
      { percentage: 50, latency: 5_000_000 },
      { percentage: 90, latency: 6_500_000 },
      { percentage: 99, latency: 9_000_000 },
    ],
    statusCodeDistribution: { OK: 998, Unavailable: 2 },
  };
  expect(parseGhz(JSON.stringify(report))).toEqual({
    calls: 1000,
    errors: { Unavailable: 2 },
    qps: 250.5,
    p50Ms: 5,
    p90Ms: 6.5,
    p99Ms: 9,
  });
});

test('without one good call there are no latencies, and no failure to read them', () => {
  const report = { count: 3, rps: 1, latencyDistribution: null, statusCodeDistribution: { Unavailable: 3 } };
  expect(parseGhz(JSON.stringify(report))).toMatchObject({ errors: { Unavailable: 3 }, p50Ms: Number.NaN });
});

test('ghz is found on the PATH', () => {
  const folder = mkdtempSync(join(tmpdir(), 'onepass-ghz-test-'));
  writeFileSync(join(folder, 'ghz'), '#!/bin/sh\n', { mode: 0o755 });
  expect(findGhz({ PATH: `/nowhere:${folder}` })).toBe(join(folder, 'ghz'));
  rmSync(folder, { recursive: true });
});
