import { SMOKE_RELEASE } from '@onepass/testing';
import { afterEach, expect, test, vi } from 'vitest';
import { findGhz } from '../../ghz.js';
import { runBench } from './bench.js';

afterEach(() => void vi.restoreAllMocks());

test.skipIf(!hasGhz())(
  'a smoke run starts systems, loads them in turns and tells what it found',
  {
    timeout: 120_000,
  },
  async () => {
    const said = vi.spyOn(console, 'log').mockImplementation(() => {});
    expect(await runBench(['--smoke', '--release', SMOKE_RELEASE, '--systems', 'A,B'])).toBe(0);
    const lines = said.mock.calls.map(([line]) => String(line)).join('\n');
    for (const figure of ['qps_ratio_a_over_b', 'overhead_cpu_ms', 'gateway_overhead_p50_ms', 'bare_chain_cpu_ms']) {
      expect(lines).toContain(figure);
    }
    expect(lines).not.toContain('cut short');
  },
);

test('what is wrong with an option is one sentence and exit code 1', async () => {
  const complained = vi.spyOn(console, 'error').mockImplementation(() => {});
  expect(await runBench(['--rounds', 'many'])).toBe(1);
  expect(await runBench(['--smoke', '--release', 'no-such-release'])).toBe(1);
  expect(complained.mock.calls.length).toBe(2);
  expect(String(complained.mock.calls[0])).toBe('--rounds must be a whole number from 1 to 9999, not "many"');
  expect(String(complained.mock.calls[1])).toContain('no-such-release');
});

function hasGhz(): boolean {
  try {
    return findGhz() !== '';
  } catch {
    return false;
  }
}
