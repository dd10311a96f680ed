import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseGpuOptions } from './options.js';
import { type BenchStep, runAll, usualSteps } from './run-all.js';

/** Stands for the bench: writes down that it ran, and ends as it is told. */
const PROGRAM = `
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
const [out, name, code, ...rest] = process.argv.slice(2);
appendFileSync(join(out, 'ran'), name + ' ' + rest.join(' ') + '\\n');
writeFileSync(join(out, 'check.json'), name);
console.log('this is ' + name);
process.exit(Number(code));
`;

let folder: string;
let program: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-all-'));
  program = join(folder, 'program.mjs');
  await writeFile(program, PROGRAM);
});
afterAll(() => rm(folder, { recursive: true }));

test('steps that have ended are not begun again, those without time are left for later', async () => {
  const out = join(folder, 'out');
  const copyTo = join(folder, 'copied');
  const step = (name: string, code: number, least: number): BenchStep => {
    return { name, args: [out, name, String(code)], least, most: 12 };
  };
  const lines: string[] = [];
  const of = { program, out, copyTo, beside: [program], progress: (line: string) => lines.push(line) };
  const steps = [step('check', 1, 1), step('bench', 0, 6), step('default', 0, 2)];
  expect(await runAll({ ...of, steps, minutes: 3 })).toMatchObject([
    { name: 'check', code: 1 },
    { name: 'default', code: 0 },
  ]);
  expect(lines).toContain('bench: left for another time, it wants 6 minutes');
  expect(await runAll({ ...of, steps, minutes: 8 })).toMatchObject([{}, {}, { name: 'bench', code: 0 }]);
  expect((await readFile(join(out, 'ran'), 'utf8')).split('\n')).toEqual([
    expect.stringMatching(/^check --minutes [23]$/),
    expect.stringMatching(/^default --minutes 2$/),
    expect.stringMatching(/^bench --minutes 7$/),
    '',
  ]);
  expect((await readdir(copyTo)).sort()).toEqual(['check.json', 'default', 'program.mjs', 'steps.json', 'steps.log']);
  expect(await readFile(join(copyTo, 'check.json'), 'utf8')).toBe('bench');
  expect(await readFile(join(copyTo, 'steps.log'), 'utf8')).toMatch(/this is check\n(.*\n)*this is bench\n/);
});

test.each([false, true])('the bench takes what its steps are given, smoke: %s', (smoke) => {
  for (const { args } of usualSteps('/out', smoke ? ['--smoke'] : ['--device', 'cuda:0'], smoke))
    expect(parseGpuOptions([...args, '--minutes', '6'])).toMatchObject({ smoke, minutes: 6 });
});

test('all is a check, the bench, the soak and the other shape, which has a folder of its own', () => {
  const steps = usualSteps('/out', ['--device', 'cuda:0'], false);
  expect(steps.map(({ name }) => name)).toEqual(['check', 'bench', 'soak', 'default']);
  for (const { args, least, most } of steps) {
    expect(args.slice(-2)).toEqual(['--device', 'cuda:0']);
    expect(least).toBeLessThan(most);
  }
  expect(steps.at(-1)!.args).toContain('/out/default');
});
