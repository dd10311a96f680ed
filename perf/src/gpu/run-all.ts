import { type ChildProcess, fork } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileTrouble } from './out-folder.js';
import { writeWhole } from './write-whole.js';

/** One run of the bench. */
export interface BenchStep {
  readonly name: string;
  readonly args: readonly string[];
  /** Minutes without which it is not begun, and which it gets at most. */
  readonly least: number;
  readonly most: number;
}

/** How a step ended that ended by itself. */
export interface EndedStep {
  readonly name: string;
  readonly code: number;
  readonly seconds: number;
}

export interface RunAllTerms {
  /** The bench's command, which each step runs in a process of its own. */
  readonly program: string;
  readonly steps: readonly BenchStep[];
  /** Folder of what is found; says what was done before too. */
  readonly out: string;
  /** Files besides what lies in `out` that belong to the results. */
  readonly beside: readonly string[];
  /** Where the results are copied while they come; absent = nowhere. */
  readonly copyTo?: string | undefined;
  readonly minutes: number;
  progress(line: string): void;
}

const STATE = 'steps.json';
const LOG = 'steps.log';
/** What counts of `out`; the pages are made of it again by `--tell`. */
const RESULTS = ['check.json', 'findings.json', 'soak.json', join('default', 'findings.json'), STATE, LOG];
const COPY_EVERY_MS = 5_000;
/** Of a minute: what was given in whole minutes is a little less when the first step begins. */
const ROUNDING = 0.1;
/** For a step to end after its time; then it is ended. */
const GRACE_MS = 30_000;

/**
 * Check, bench and soak one after the other, each with what is left of the time. A step that has ended is not begun again by a later call with the same folder,
 * so that all of it may be cut into several.
 * @returns how those ended that have
 */
export async function runAll(terms: RunAllTerms): Promise<readonly EndedStep[]> {
  const { out, steps, minutes, progress } = terms;
  const endAt = performance.now() + 60_000 * minutes;
  await mkdir(out, { recursive: true });
  const ended = await readEnded(out);
  const log = createWriteStream(join(out, LOG), { flags: 'a' });
  log.on('error', (error) => progress(`${LOG} goes no further: ${fileTrouble(error)}`));
  const copying = setInterval(() => void copyResults(terms), COPY_EVERY_MS);
  try {
    for (const step of steps) {
      const before = ended.find(({ name }) => name === step.name);
      const left = (endAt - performance.now()) / 60_000;
      if (before !== undefined) progress(`${step.name}: done before, exit code ${before.code}`);
      else if (left < step.least - ROUNDING)
        progress(`${step.name}: left for another time, it wants ${step.least} minutes`);
      else {
        const done = await runStep(step, Math.min(step.most, left), terms, log);
        if (done !== undefined) ended.push(done);
        await writeWhole(join(out, STATE), `${JSON.stringify(ended, null, 2)}\n`);
        await copyResults(terms);
      }
    }
  } finally {
    clearInterval(copying);
    await new Promise<void>((resolve) => log.end(resolve));
    await copyResults(terms);
  }
  return ended;
}

async function readEnded(out: string): Promise<EndedStep[]> {
  return JSON.parse(await readFile(join(out, STATE), 'utf8').catch(() => '[]')) as EndedStep[];
}

/** @returns undefined when it had to be ended */
async function runStep(
  { name, args, least }: BenchStep,
  minutes: number,
  { program, progress }: RunAllTerms,
  log: WriteStream,
): Promise<EndedStep | undefined> {
  const whole = Math.max(1, Math.floor(minutes), least);
  progress(`${name}: at most ${whole} minutes`);
  log.write(`\n== ${name}, at most ${whole} minutes\n`);
  const began = performance.now();
  const child = fork(program, [...args, '--minutes', String(whole)], {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const limit = endLate(child, 60_000 * whole + GRACE_MS);
  const pass = (asked: NodeJS.Signals) => void child.kill(asked);
  process.on('SIGTERM', pass).on('SIGINT', pass);
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (data: Buffer) => {
      log.write(data);
      process.stdout.write(data);
    });
  const [code, signal] = await new Promise<readonly [number | null, string | null]>((resolve) =>
    child.on('close', (exit, by) => resolve([exit, by])),
  );
  process.off('SIGTERM', pass).off('SIGINT', pass);
  const seconds = (performance.now() - began) / 1000;
  progress(`${name}: ${signal === null ? `exit code ${code}` : `ended by ${signal}`} after ${seconds.toFixed(0)} s`);
  if (limit.isLate || signal === 'SIGTERM' || signal === 'SIGINT') return undefined;
  return { name, code: code ?? 1, seconds };
}

/** First asked to end, so that it tells what it has, then made to. */
function endLate(child: ChildProcess, afterMs: number): { isLate: boolean } {
  const state = { isLate: false };
  const ask = setTimeout(() => {
    state.isLate = true;
    child.kill('SIGTERM');
  }, afterMs);
  const make = setTimeout(() => child.kill('SIGKILL'), afterMs + GRACE_MS / 3);
  child.once('close', () => {
    clearTimeout(ask);
    clearTimeout(make);
  });
  return state;
}

/** What is there; what is missing is to come. */
async function copyResults({ out, beside, copyTo }: RunAllTerms): Promise<void> {
  if (copyTo === undefined) return;
  const files = [
    ...RESULTS.map((name) => [join(out, name), join(copyTo, name)] as const),
    ...beside.map((path) => [path, join(copyTo, basename(path))] as const),
  ];
  for (const [from, to] of files) {
    await mkdir(dirname(to), { recursive: true })
      .then(() => copyFile(from, to))
      .catch(() => {});
  }
}

/** Of a machine with a GPU, the shape of the paper first, then that of the release in the repository. */
export function usualSteps(out: string, common: readonly string[], smoke: boolean): BenchStep[] {
  const shape = ['--layers', '4', '--width', '128', '--heads', '4', '--n', '256', '--k', '200', '--batch', '8'];
  // A smoke run of bench or soak keeps nothing.
  const kept = (folder: string) => (smoke ? common : ['--out', folder, ...common]);
  return [
    { name: 'check', args: ['--check', '--out', out, ...common], least: 1, most: 6 },
    { name: 'bench', args: kept(out), least: smoke ? 1 : 6, most: 12 },
    { name: 'soak', args: ['--soak', smoke ? '200' : '100000', ...kept(out)], least: smoke ? 1 : 5, most: 10 },
    {
      name: 'default',
      args: [...(smoke ? [] : shape), ...kept(join(out, 'default'))],
      least: smoke ? 1 : 2,
      most: 5,
    },
  ];
}
