import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDeviceModel } from '@onepass/device-trunk';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { describeWhere, type GpuMachine } from '../gpu-machine.js';
import { attentionFor, makeDeviceGraphs } from '../graphs.js';
import { type BenchShape, type Dtype, type GpuOptions, shapeFor } from '../options.js';
import { describeShape } from '../tell.js';
import { writeWhole } from '../write-whole.js';
import type { CheckReport, CheckState } from './check.js';
import { checksOf } from './check-list.js';
import { runChecks } from './check-runner.js';
import type { CheckTerms, DeviceTerms } from './desk.js';
import { forkTask } from './fork-task.js';
import { DESCRIBE } from './tasks.js';

/** The file of what was found, as it stands after each check. */
export interface CheckFindings {
  readonly date: string;
  readonly machine: GpuMachine;
  readonly shape: BenchShape;
  readonly checks: readonly CheckReport[];
  /** False while checks are to come. */
  readonly done: boolean;
}

export interface RunCheckTerms extends Pick<GpuOptions, 'device' | 'shape' | 'libraries' | 'smoke'> {
  readonly python: string;
  /** File of the findings. */
  readonly file: string;
  /** As `performance.now()` counts: no check begins after it. */
  readonly endAt?: number | undefined;
  /** File that serves the checks; absent = the built one. */
  readonly program?: string;
  progress(line: string): void;
}

const PROGRAM = join(repositoryRoot, 'perf', 'dist', 'gpu', 'check', 'check.program.js');
/** Of one check, its sessions included. */
const LIMIT_MS = 120_000;
/** Of the float32 reference: a shape for GPUs takes its time on a CPU. */
const REFERENCE_LIMIT_MS = 300_000;

/**
 * Lets the device show what it has to show first, one check after the other.
 * @returns what each found. @throws OnepassError `startup` where there is no such device, or there are no graphs
 */
export async function runCheck(terms: RunCheckTerms): Promise<CheckFindings> {
  const { device, libraries, smoke, file, progress, program = PROGRAM } = terms;
  const machine = await describeDevice({ device, libraries }, program);
  progress(machine.reason);
  const shape = shapeFor(machine.device, terms.shape);
  progress(`${describeShape(shape)}; ${describeWhere(machine)}`);
  const made = mkdtemp(join(tmpdir(), 'onepass-check-'));
  const graphs = (dtype: Dtype) => {
    const attention = attentionFor(machine.device, shape, dtype);
    return makeDeviceGraphs(shape, dtype, { python: terms.python, progress, attention });
  };
  const checks: CheckReport[] = [];
  const findings = (done: boolean) => ({ date: new Date().toISOString().slice(0, 10), machine, shape, checks, done });
  try {
    const [float16, float32] = [await graphs('float16'), await graphs('float32')];
    const of = { device: machine.device as CheckTerms['device'], libraries, shape, smoke };
    const folders = { float16: float16.folder, float32: float32.folder };
    const without: CheckTerms = { ...of, graphs: folders, reference: { missing: 'not made yet' } };
    progress('float32 on the CPU');
    const reference = await makeReference(without, join(await made, 'reference.f32'), program);
    const names = checksOf(await readDeviceModel(folders[shape.dtype])).map(({ name }) => name);
    await runChecks<CheckTerms>({
      ...{ program, names, limitMs: LIMIT_MS, order: { ...without, reference }, endAt: terms.endAt },
      onReport: async (report) => {
        checks.push(report);
        progress(tellCheck(report));
        await writeWhole(file, `${JSON.stringify(findings(false), null, 2)}\n`);
      },
    });
    await writeWhole(file, `${JSON.stringify(findings(true), null, 2)}\n`);
    return findings(true);
  } finally {
    await rm(await made, { recursive: true, force: true });
  }
}

/** @throws OnepassError `startup` with what its process said */
async function describeDevice(order: DeviceTerms, program: string): Promise<GpuMachine> {
  const message = { task: DESCRIBE, args: {}, order };
  const { told, end } = await forkTask<GpuMachine, DeviceTerms>(message, { program, limitMs: LIMIT_MS });
  if (told === undefined) throw startupError(`the device could not be opened: ${end}`);
  return told;
}

async function makeReference(order: CheckTerms, file: string, program: string): Promise<CheckTerms['reference']> {
  const message = { task: 'reference', args: { file }, order };
  const { code, end } = await forkTask(message, { program, limitMs: REFERENCE_LIMIT_MS });
  return code === 0 ? { file } : { missing: `float32 on the CPU could not be computed: ${end}` };
}

const WORDS: Readonly<Record<CheckState, string>> = { ok: 'ok      ', failed: 'FAILED  ', 'left out': 'left out' };

/** In one line. */
export const tellCheck = ({ name, state, says, seconds }: CheckReport) =>
  `${WORDS[state]}  ${name}: ${says} (${seconds.toFixed(1)} s)`;

/** How many of each. */
export function tellCounts(checks: readonly CheckReport[]): string {
  const count = (state: CheckState) => checks.filter((one) => one.state === state).length;
  const seconds = checks.reduce((sum, one) => sum + one.seconds, 0);
  return `${count('ok')} ok, ${count('failed')} failed, ${count('left out')} left out, in ${seconds.toFixed(0)} s`;
}
