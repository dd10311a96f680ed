import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OnepassError } from '@onepass/errors';
import { createDeviceEngine, type DeviceEngine } from '@onepass/inference';
import { runCommand } from '@onepass/local';
import { ensurePythonOf } from '../kit/shape/python.js';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import { runCheck, tellCounts } from './check/run-check.js';
import { summaryEntries } from './figures.js';
import type { GpuFindings } from './findings.js';
import { describeGpuMachine, describeWhere } from './gpu-machine.js';
import { type DeviceGraphs, makeDeviceGraphs } from './graphs.js';
import { measureTimes } from './measure-times.js';
import { type BenchShape, type Dtype, type GpuOptions, HELP, parseGpuOptions, shapeFor } from './options.js';
import { gpuPage } from './page.js';
import { growthOf, kvBytesOf, soak } from './soak.js';
import { describeShape, tellFindings } from './tell.js';
import { soakPage, tellSoak } from './tell-soak.js';

const FOLDER = join(REPORT_FOLDER, 'gpu');
const progress = (line: string) => console.log(`  ${line}`);

/** @returns the exit code */
export function runBenchGpu(args: readonly string[]): Promise<number> {
  const began = performance.now();
  return runCommand(async () => {
    const options = parseGpuOptions(args, process.env);
    if (options === 'help') {
      console.log(HELP);
      return 0;
    }
    const python = options.python ?? (await ensurePythonOf('training'));
    const endAt = options.minutes === undefined ? undefined : began + 60_000 * options.minutes;
    if (options.check) return check(options, python, endAt);
    const engine = await openEngine(options);
    try {
      progress(engine.reason);
      await bench(options, python, engine);
    } finally {
      await engine.close();
    }
    return 0;
  });
}

/** @returns the exit code */
async function check(options: GpuOptions, python: string, endAt: number | undefined): Promise<number> {
  // A smoke run's would take the place of a GPU's.
  const file = join(options.out, options.smoke ? 'check-smoke.json' : 'check.json');
  const { checks } = await runCheck({ ...options, python, file, endAt, progress });
  console.log(`\n${tellCounts(checks)}. ${file}`);
  return checks.some(({ state }) => state === 'failed') ? 1 : 0;
}

/** Two runs at one time where memory is looked at: lanes have buffers of their own. */
function openEngine({ device, libraries, soak: runs }: GpuOptions): Promise<DeviceEngine> {
  const lost = (error: OnepassError) => {
    console.error(`the device is lost: ${error.message}`);
    process.exit(1);
  };
  return createDeviceEngine({
    device,
    lanes: runs === undefined ? 1 : 2,
    threads: 1,
    libraryDirectory: libraries,
    onLost: lost,
  });
}

async function bench(options: GpuOptions, python: string, engine: DeviceEngine): Promise<void> {
  const shape = shapeFor(engine.device, options.shape);
  progress(describeShape(shape));
  const graphs = (dtype: Dtype, attention?: readonly string[]): Promise<DeviceGraphs> =>
    makeDeviceGraphs(shape, dtype, { python, progress, ...(attention && { attention }) });
  if (options.soak !== undefined) return runSoak(options.soak, await graphs(shape.dtype), shape, options, engine);
  const findings = await measureTimes({
    engine,
    shape,
    python,
    graphs,
    libraries: options.libraries,
    rounds: options.rounds,
    smoke: options.smoke,
    progress,
  });
  console.log(`\n${[...tellFindings(findings), '', await keep(findings, shape, options)].join('\n')}`);
}

/** As much of the device as people may need, and no more than most of it. */
const KV_SHARE = 0.5;
/** Where the device is the CPU. */
const CPU_KV_BYTES = 2 ** 30;

async function runSoak(
  runs: number,
  graphs: DeviceGraphs,
  shape: BenchShape,
  { people, smoke }: GpuOptions,
  engine: DeviceEngine,
): Promise<void> {
  const attention = Object.keys(graphs.description.graphs.rank).find((name) => name !== 'plain') ?? 'plain';
  // Some must give way: a person has at most a whole window, on average half.
  const wanted = kvBytesOf(graphs, Math.ceil(people / 4));
  const most = engine.device === 'cpu' ? CPU_KV_BYTES : KV_SHARE * engine.memory().freeBytes;
  const terms = { engine, graphs, shape, attention, runs, people, kvBytes: Math.min(wanted, most), progress };
  const found = await soak(terms);
  const machine = await describeGpuMachine(engine, undefined);
  const where = { date: new Date().toISOString().slice(0, 10), where: describeWhere(machine), shape };
  console.log(`\n${tellSoak(found, where).join('\n')}\n`);
  if (smoke) return console.log('A smoke run shows that it works; its numbers mean nothing and are not kept.');
  await mkdir(FOLDER, { recursive: true });
  await write('soak.html', soakPage(found, where));
  await write('soak.json', `${JSON.stringify({ ...where, machine, ...found }, null, 2)}\n`);
  if (engine.device === 'cpu') return;
  const numbers = { gpu_soak_growth: growthOf(found.samples), gpu_soak_runs: found.runs, gpu_soak_wrong: found.wrong };
  await mergeIntoSummary(REPORT_FOLDER, numbers, machine.name);
}

/** @returns a sentence on where it went */
async function keep(findings: GpuFindings, shape: BenchShape, { smoke }: GpuOptions): Promise<string> {
  if (smoke) return 'A smoke run shows that it works; its numbers mean nothing and are not kept.';
  await mkdir(FOLDER, { recursive: true });
  await write('index.html', gpuPage(findings));
  await write('findings.json', `${JSON.stringify(findings, null, 2)}\n`);
  const pictured = 'The picture is perf/report/gpu/index.html, all numbers are in findings.json beside it';
  if (findings.machine.device === 'cpu') return `${pictured}. perf/report/summary.json keeps figures of GPUs only.`;
  await mergeIntoSummary(REPORT_FOLDER, summaryEntries(findings.figures, shape), findings.machine.name);
  return `${pictured}, and the figures are in perf/report/summary.json.`;
}

async function write(name: string, content: string): Promise<void> {
  const path = join(FOLDER, name);
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
