import { writeSync } from 'node:fs';
import { join } from 'node:path';
import type { OnepassError } from '@onepass/errors';
import { createDeviceEngine, type DeviceEngine, endOnLostDevice } from '@onepass/inference';
import { runCommand } from '@onepass/local';
import { ensurePythonOf } from '../kit/shape/python.js';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import { runCheck, tellCounts } from './check/run-check.js';
import type { GpuFindings } from './findings.js';
import { keepFindings, publishFindings, readFindings } from './findings-file.js';
import { checkedPython } from './given-python.js';
import { describeGpuMachine, describeWhere, type GpuMachine } from './gpu-machine.js';
import { type DeviceGraphs, attentionFor as kindsFor, makeDeviceGraphs } from './graphs.js';
import { measureTimes } from './measure-times.js';
import { type BenchShape, type Dtype, type GpuOptions, HELP, parseGpuOptions, shapeFor } from './options.js';
import { makeOutFolder } from './out-folder.js';
import { runAll, usualSteps } from './run-all.js';
import { growthOf, type SoakFindings, soakOf } from './soak.js';
import { attentionFor, describeAttention } from './soak-attention.js';
import { describeShape, tellFindings } from './tell.js';
import { soakPage, tellSoak } from './tell-soak.js';
import { writeWhole } from './write-whole.js';

const progress = (line: string) => console.log(`  ${line}`);
const SMOKE_WORDS = 'A smoke run shows that it works; its numbers mean nothing and are not kept.';

/** @returns the exit code */
export function runBenchGpu(args: readonly string[]): Promise<number> {
  const began = performance.now();
  return runCommand(async () => {
    const options = parseGpuOptions(args, process.env);
    if (options === 'help') {
      console.log(HELP);
      return 0;
    }
    if (options.tell !== undefined) {
      const found = await readFindings(options.tell);
      await makeOutFolder(options.out, '--out');
      console.log(await publishFindings(options.out, found));
      return 0;
    }
    if (keepsFindings(options)) await makeOutFolder(options.out, '--out');
    const python = await (options.python === undefined ? ensurePythonOf('training') : checkedPython(options.python));
    if (options.all) return all(options);
    const endAt = options.minutes === undefined ? undefined : began + 60_000 * options.minutes;
    const run: Run = { options, python, endAt };
    return options.check ? check(run) : onDevice(run);
  });
}

/** A smoke run of bench or soak keeps nothing. */
const keepsFindings = ({ smoke, check, all }: GpuOptions) => !smoke || check || all;

interface Run {
  readonly options: GpuOptions;
  readonly python: string;
  readonly endAt: number | undefined;
}

/** Of all steps. */
const ALL_MINUTES = 25;

/** @returns the exit code */
async function all({ device, libraries, python, smoke, out, minutes = ALL_MINUTES }: GpuOptions): Promise<number> {
  const given = { ...(!smoke && { device }), libraries, python };
  const common = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  const copyTo = process.env.OUT || undefined;
  if (copyTo !== undefined) await makeOutFolder(copyTo, 'OUT');
  const ended = await runAll({
    ...{ program: process.argv[1]!, out, minutes, progress, copyTo },
    steps: usualSteps(out, smoke ? [...common, '--smoke'] : common, smoke),
    beside: [join(REPORT_FOLDER, 'summary.json')],
  });
  return ended.every(({ code }) => code === 0) ? 0 : 1;
}

/** @returns the exit code */
async function check({ options, python, endAt }: Run): Promise<number> {
  // A smoke run's would take the place of a GPU's.
  const file = join(options.out, options.smoke ? 'check-smoke.json' : 'check.json');
  const { checks } = await runCheck({ ...options, python, file, endAt, progress });
  console.log(`\n${tellCounts(checks)}. ${file}`);
  return checks.some(({ state }) => state === 'failed') ? 1 : 0;
}

/** @returns the exit code */
async function onDevice(run: Run): Promise<number> {
  const { options } = run;
  const soFar = new SoFar();
  // Two lanes where memory is looked at: each has buffers of its own.
  const engine = await openEngine(options, options.soak === undefined ? 1 : 2, soFar);
  const stopped = soFar.tellWhenStopped();
  try {
    const machine = await describeGpuMachine(engine);
    progress(machine.reason);
    const shape = shapeFor(engine.device, options.shape);
    progress(describeShape(shape));
    const of = { ...run, engine, machine, shape, soFar };
    await (options.soak === undefined ? bench(of) : soak({ ...of, runs: options.soak }));
  } finally {
    stopped();
    await engine.close();
  }
  return 0;
}

function openEngine({ device, libraries }: GpuOptions, lanes: number, soFar: SoFar): Promise<DeviceEngine> {
  const onLost = (error: OnepassError) => {
    soFar.tell();
    endOnLostDevice(error);
  };
  return createDeviceEngine({ device, lanes, threads: 1, libraryDirectory: libraries, onLost });
}

interface DeviceRun extends Run {
  readonly engine: DeviceEngine;
  readonly machine: GpuMachine;
  readonly shape: BenchShape;
  readonly soFar: SoFar;
}

const graphsOf =
  ({ shape, python, machine }: DeviceRun) =>
  (dtype: Dtype, attention = kindsFor(machine.device, shape, dtype)): Promise<DeviceGraphs> =>
    makeDeviceGraphs(shape, dtype, { python, progress, attention });

async function bench(run: DeviceRun): Promise<void> {
  const { options, soFar } = run;
  const { engine, machine, shape, python, endAt } = run;
  const findings = await measureTimes({
    ...{ engine, machine, shape, python, endAt, progress, graphs: graphsOf(run) },
    ...{ libraries: options.libraries, rounds: options.rounds, smoke: options.smoke },
    keep: async (found) => {
      soFar.findings = found;
      if (!options.smoke) await keepFindings(options.out, found);
    },
  });
  soFar.findings = undefined;
  if (options.smoke) console.log(`\n${tellFindings(findings).join('\n')}\n\n${SMOKE_WORDS}`);
  else console.log(`\n${await publishFindings(options.out, findings)}`);
}

async function soak(run: DeviceRun & { readonly runs: number }): Promise<void> {
  const { options, engine, machine, shape, endAt, runs } = run;
  const graphs = await graphsOf(run)(shape.dtype);
  const known = options.smoke ? undefined : await readFindings(options.out).catch(() => undefined);
  const attention = await attentionFor({
    ...{ graphs, shape, machine, known, smoke: options.smoke, progress },
    open: () => openEngine(options, 1, run.soFar),
  });
  progress(`attention: ${describeAttention(attention)}`);
  const where = { date: new Date().toISOString().slice(0, 10), where: describeWhere(machine), shape };
  const keep = async (found: SoakFindings) => {
    if (!options.smoke)
      await writeWhole(join(options.out, 'soak.json'), `${JSON.stringify({ ...where, machine, ...found }, null, 2)}\n`);
  };
  const found = await soakOf({ engine, graphs, shape, attention, runs, people: options.people, endAt, progress, keep });
  console.log(`\n${tellSoak(found, where).join('\n')}\n`);
  if (options.smoke) return console.log(SMOKE_WORDS);
  await writeWhole(join(options.out, 'soak.html'), soakPage(found, where));
  if (engine.device === machine.name || engine.device === 'cpu') return;
  const numbers = { gpu_soak_growth: growthOf(found.samples), gpu_soak_runs: found.runs, gpu_soak_wrong: found.wrong };
  await mergeIntoSummary(REPORT_FOLDER, numbers, machine.name);
}

/** What is told when the run ends before its time: it is kept already. */
class SoFar {
  findings: GpuFindings | undefined;

  tell(): void {
    if (this.findings !== undefined)
      writeSync(process.stdout.fd, `\nEnded early; until then:\n\n${tellFindings(this.findings).join('\n')}\n`);
  }

  /** At Ctrl-C, and when a time limit ends the process. @returns what takes it back */
  tellWhenStopped(): () => void {
    const stop = (signal: NodeJS.Signals) => {
      this.tell();
      process.off('SIGINT', stop).off('SIGTERM', stop);
      process.kill(process.pid, signal);
    };
    process.on('SIGINT', stop).on('SIGTERM', stop);
    return () => void process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
