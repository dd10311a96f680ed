import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CheckReport } from './check.js';
import { runChecks } from './check-runner.js';
import { forkTask } from './fork-task.js';

let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('./check-runner.program.ts', import.meta.url));
});
afterAll(() => program.remove());

const ORDER = { greeting: 'So: ' };

async function run(names: readonly string[], more: { endAt?: number; limitMs?: number; until?: number } = {}) {
  const seen: CheckReport[] = [];
  const terms = { program: program.path, order: ORDER, limitMs: 60_000, ...more };
  await runChecks({ ...terms, names, onReport: async (report) => void seen.push(report) });
  expect(seen.map(({ name }) => name)).toEqual(names);
  for (const { seconds } of seen) expect(seconds).toBeGreaterThanOrEqual(0);
  return seen.map(({ state, says }) => `${state}: ${says}`);
}

test('each check is told on its own: what fails, throws, or ends its process does not end the others', async () => {
  expect(await run(['good', 'bad', 'throws', 'lost', 'without', 'killed', 'good'])).toEqual([
    'ok: So: all good',
    'failed: So: it is bad',
    expect.stringMatching(/^failed: .*it broke/),
    'failed: the device was lost (exit code 74): the device cuda:0 is lost: CUDA failure 700',
    'left out: So: nothing to see',
    'failed: its process died of SIGKILL',
    'ok: So: all good',
  ]);
});

test('a check that does not end fails, and the others go on', async () => {
  expect(await run(['endless', 'good'], { limitMs: 1_500 })).toEqual([
    'failed: it did not end within 2 s',
    'ok: So: all good',
  ]);
});

test('a report that cannot be kept ends the checks', async () => {
  const onReport = async ({ name }: CheckReport) => {
    if (name === 'bad') throw new Error('no space');
  };
  const terms = { program: program.path, order: ORDER, limitMs: 60_000, names: ['good', 'bad', 'endless'], onReport };
  await expect(runChecks(terms)).rejects.toThrow('no space');
});

test('without time nothing begins, and that is no failure', async () => {
  const endAt = performance.now();
  expect(await run(['good', 'bad'], { endAt })).toEqual(['left out: no time was left', 'left out: no time was left']);
});

test('a task in a process of its own: what it told, and how it ended', async () => {
  const of = { program: program.path, limitMs: 60_000 };
  expect(await forkTask({ task: 'any', args: [1], order: ORDER }, of)).toEqual({
    told: { name: 'any', greeting: 'So: ', args: [1] },
    code: 0,
    end: 'its process ended with code 0',
    stdout: 'said aside\n',
  });
  const failure = await forkTask({ task: 'fails', args: {}, order: ORDER }, of);
  expect(failure).toMatchObject({ told: undefined, code: 1 });
  expect(failure.end).toMatch(/^its process ended with code 1: .*no such task/);
});
