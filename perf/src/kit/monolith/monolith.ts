import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { measurementsAt } from '../load/index.js';
import type { SystemName } from '../measurements.js';
import { ensurePythonOf } from '../shape/python.js';
import type { RunningSystem } from '../systems/running-system.js';
import type { SystemOptions } from '../systems/systems.js';

export type MonolithName = 'G' | 'Gkv';

export interface MonolithOptions extends SystemOptions {
  /** Interpreter with the packages of perf/monolith; absent = its environment is set up, which downloads them the first time. */
  readonly python?: () => Promise<string>;
}

const MONOLITH =
  'One process in Python (grpc.aio, onnxruntime, faiss) on the same graphs and item table, as a team would write it in a week: histories ' +
  'in memory, nothing durable, no admission, no fallbacks, no page tokens, filters or diversity.';
const KEEPS: Readonly<Record<MonolithName, string>> = {
  G: 'Every page encodes the whole history.',
  Gkv: 'KV is kept in the process, as much as the others may keep, and only new actions are encoded.',
};

export const MONOLITH_DESCRIPTIONS: Readonly<Record<MonolithName, string>> = {
  G: `${MONOLITH} ${KEEPS.G}`,
  Gkv: `${MONOLITH} ${KEEPS.Gkv}`,
};

/** Whether a system is the monolith, not a mesh. */
export const isMonolith = (name: SystemName): name is MonolithName => name === 'G' || name === 'Gkv';

const HOST = '127.0.0.1';
const ROLE = 'monolith';
/** Loading graphs and choosing the index take seconds; the rest is patience with a busy machine. */
const START_MS = 180_000;
const STOP_MS = 10_000;

/** The first line that it prints. */
interface Started {
  readonly port: number;
  readonly index: string;
  readonly kvMiB: number;
}

/**
 * Starts system G on a free port, with the threads of the other systems' processes.
 *
 * It makes as many pages at one time as two of those make graph runs: user-encoder and ranking have a queue of runs each, and a
 * page of G has one run under way at any time.
 * @throws OnepassError `startup`, one sentence: no Python, or what the process said last; nothing is left running
 */
export async function startMonolith(name: MonolithName, options: MonolithOptions): Promise<RunningSystem> {
  const python = await (options.python ?? (() => ensurePythonOf('perf/monolith')))();
  const folder = join(options.folder, name);
  await mkdir(folder, { recursive: true });
  const child = launch(python, argumentsOf(name, options), join(folder, 'monolith.log'));
  const { port, index, kvMiB } = await started(child, join(folder, 'monolith.log'));
  const address = `${HOST}:${port}`;
  return {
    name,
    description: `${MONOLITH_DESCRIPTIONS[name]} Its index: ${index}.`,
    address,
    kvMiB,
    pids: () => (hasEnded(child) ? {} : { [ROLE]: child.pid! }),
    measurements: async () => ({ [ROLE]: await measurementsAt(address) }),
    stop: () => stop(child),
  };
}

function argumentsOf(name: MonolithName, { releaseDir, settings, kvMiB }: MonolithOptions): string[] {
  const inFlight = 2 * Number(settings.ONEPASS_INFERENCE_IN_FLIGHT);
  return [
    ...['-m', 'onepass_monolith', '--with-parent', '--release', releaseDir],
    ...['--threads', settings.ONEPASS_INFERENCE_THREADS, '--in-flight', String(inFlight)],
    ...(name === 'Gkv' ? ['--keep-kv', '--kv-mib', String(kvMiB)] : []),
  ];
}

/** What it says goes to `log`, but for its first line. */
function launch(python: string, args: readonly string[], log: string): ChildProcess {
  const sources = [join(repositoryRoot, 'perf', 'monolith', 'src'), join(repositoryRoot, 'training', 'src')];
  const env = { ...process.env, PYTHONPATH: sources.join(delimiter) };
  const file = openSync(log, 'w');
  try {
    return spawn(python, [...args], { env, stdio: ['ignore', 'pipe', file] });
  } finally {
    closeSync(file);
  }
}

/** Its first line, or why there is none. */
async function started(child: ChildProcess, log: string): Promise<Started> {
  const lines = createInterface(child.stdout!);
  let late: NodeJS.Timeout | undefined;
  try {
    const outcome = await Promise.race([
      once(lines, 'line').then(([line]) => String(line)),
      // Rejects with the error of a process that could not be started.
      once(child, 'close').then(
        () => undefined,
        (error: Error) => error,
      ),
      new Promise<undefined>((resolve) => {
        late = setTimeout(() => resolve(undefined), START_MS);
      }),
    ]);
    if (typeof outcome === 'string') return JSON.parse(outcome) as Started;
    await stop(child);
    const said = (await readFile(log, 'utf8')).trim().split('\n').at(-1);
    throw startupError(`system G did not start: ${outcome?.message ?? (said || 'it said nothing')}`);
  } finally {
    clearTimeout(late);
  }
}

/** Asked to at first, made to when it does not. */
async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(patience);
}

/** Also of one that never began. */
const hasEnded = (child: ChildProcess) =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
