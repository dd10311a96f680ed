import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startupError } from '@onepass/errors';
import { compileFakeCuda } from '@onepass/inference';
import { repositoryRoot, runCommand } from '@onepass/local';
import { attentionFor, makeDeviceGraphs } from '../gpu/graphs.js';
import { shapeFor } from '../gpu/options.js';
import { describeShape } from '../gpu/tell.js';
import { ensurePythonOf } from '../kit/shape/python.js';
import { table } from '../table.js';
import { parseTraceOptions, TRACE_HELP } from './options.js';
import { nodesOf, productFlops, shortName } from './trace.js';
import type { TraceAsk, TracedCase } from './traced-cases.js';

/** Of the device that the fake says it is. */
const DEVICE_BYTES = 80e9;
const PROGRAM = join(repositoryRoot, 'perf', 'dist', 'gpu-trace', 'traced-case.program.js');

/** @returns the exit code: 1 where something was done against CUDA's rules */
export function runTraceGpu(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const options = parseTraceOptions(args, process.env);
    if (options === 'help') {
      console.log(TRACE_HELP);
      return 0;
    }
    const shape = shapeFor('cuda:0', options.shape);
    const python = options.python ?? (await ensurePythonOf('training'));
    const progress = (line: string) => console.log(`  ${line}`);
    progress(describeShape(shape));
    const attention = attentionFor('cuda:0', shape, shape.dtype);
    const { folder } = await makeDeviceGraphs(shape, shape.dtype, { python, attention, progress });
    const { n, k, batch } = shape;
    const traced = await traceCases({ folder, n, k, batch, libraries: options.libraries }, progress);
    console.log(`\n${tellTrace(traced).join('\n')}`);
    if (options.kernels) console.log(tellKernels(traced).join('\n'));
    return traced.some(({ faults }) => faults.length > 0) ? 1 : 0;
  });
}

/**
 * @param program JavaScript file of traced-case.program.ts; absent: the built one
 * @throws OnepassError `startup` where there is no C compiler, or the process ended badly
 */
export async function traceCases(
  ask: Omit<TraceAsk, 'trace'>,
  progress: (line: string) => void,
  program = PROGRAM,
): Promise<TracedCase[]> {
  const directory = mkdtempSync(join(tmpdir(), 'onepass-trace-'));
  try {
    if (!compileFakeCuda(directory)) throw startupError('a C compiler is needed, by the name of cc');
    const trace = join(directory, 'trace.tsv');
    const env = {
      ...process.env,
      LD_LIBRARY_PATH: directory,
      FAKE_CUDA_TRACE: trace,
      FAKE_CUDA_BYTES: String(DEVICE_BYTES),
    };
    const child = spawn(process.execPath, [program, JSON.stringify({ ...ask, trace } satisfies TraceAsk)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise<string>((resolve) =>
      child.once('close', (code, signal) => resolve(signal ?? (code === 0 ? '' : `exit code ${code}`))),
    );
    const traced: TracedCase[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      traced.push(JSON.parse(line) as TracedCase);
      progress(traced.at(-1)!.what);
    }
    const end = await ended;
    if (end !== '')
      throw startupError(
        `tracing ended by ${end}: is --libraries ${ask.libraries} whole? (node scripts/gpu-libraries.mjs)`,
      );
    return traced;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Lines of a Markdown table, and a line for each fault. */
export function tellTrace(traced: readonly TracedCase[]): string[] {
  const rows = traced.flatMap(({ what, work, taken }) => {
    if (work === undefined) return [];
    const fromHost = work.copies.filter(({ from }) => from !== 'device');
    const within = work.copies.filter(({ from, to }) => from === 'device' && to === 'device');
    const megabytes = within.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
    const numbers = [nodesOf(work), work.kernels.length, work.products.length, fromHost.length, work.memsets];
    return [
      [
        what,
        ...numbers.map(String),
        megabytes.toFixed(1),
        (productFlops(work) / 1e9).toFixed(1),
        (taken / 1e6).toFixed(0),
      ],
    ];
  });
  const titles = [
    'pass',
    'nodes',
    'kernels',
    'products',
    'host copies',
    'memsets',
    'device copies, MB',
    'products, GFLOP',
    'taken, MB',
  ];
  const bad = traced.flatMap(({ what, why, faults, work }) => [
    ...(why === undefined ? [] : [`${what}: cannot be prepared: ${why}`]),
    ...(why === undefined && work === undefined ? [`${what}: not captured`] : []),
    ...[...new Set(faults)].map((fault) => `${what}: ${fault}`),
  ]);
  return [...table(titles, rows), '', ...bad];
}

/** By pass, its kernels and how often each is launched. */
function tellKernels(traced: readonly TracedCase[]): string[] {
  return traced.flatMap(({ what, work }) => {
    if (work === undefined || work.kernels.length === 0) return [];
    const names = demangle(work.kernels).map(shortName);
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    const sorted = [...counts].sort(([, a], [, b]) => b - a);
    return ['', what, ...sorted.map(([name, count]) => `${String(count).padStart(6)}  ${name}`)];
  });
}

/** As they are where there is no c++filt. */
function demangle(names: readonly string[]): string[] {
  try {
    return execFileSync('c++filt', { input: names.join('\n'), encoding: 'utf8' })
      .trimEnd()
      .split('\n');
  } catch {
    return [...names];
  }
}
