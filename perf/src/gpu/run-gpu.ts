import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type OnepassError, startupError } from '@onepass/errors';
import { createDeviceEngine, type DeviceEngine } from '@onepass/inference';
import { runCommand } from '@onepass/local';
import { ensurePythonOf } from '../kit/shape/python.js';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import { summaryEntries } from './figures.js';
import type { GpuFindings } from './findings.js';
import { type DeviceGraphs, makeDeviceGraphs } from './graphs.js';
import { measureTimes } from './measure-times.js';
import { type BenchShape, type Dtype, type GpuOptions, HELP, parseGpuOptions, shapeFor } from './options.js';
import { gpuPage } from './page.js';
import { describeShape, tellFindings } from './tell.js';

const FOLDER = join(REPORT_FOLDER, 'gpu');
const progress = (line: string) => console.log(`  ${line}`);

/** @returns the exit code */
export function runBenchGpu(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const options = parseGpuOptions(args, process.env);
    if (options === 'help') {
      console.log(HELP);
      return 0;
    }
    const python = options.python ?? (await ensurePythonOf('training'));
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

function openEngine({ device, libraries }: GpuOptions): Promise<DeviceEngine> {
  const lost = (error: OnepassError) => {
    console.error(`the device is lost: ${error.message}`);
    process.exit(1);
  };
  return createDeviceEngine({ device, lanes: 1, threads: 1, libraryDirectory: libraries, onLost: lost });
}

async function bench(options: GpuOptions, python: string, engine: DeviceEngine): Promise<void> {
  const shape = shapeFor(engine.device, options.shape);
  progress(describeShape(shape));
  if (options.soak !== undefined) throw startupError('--soak is not built yet');
  const graphs = (dtype: Dtype, attention?: readonly string[]): Promise<DeviceGraphs> =>
    makeDeviceGraphs(shape, dtype, { python, progress, ...(attention && { attention }) });
  const findings = await measureTimes({
    engine,
    shape,
    python,
    graphs,
    rounds: options.rounds,
    smoke: options.smoke,
    progress,
  });
  console.log(`\n${[...tellFindings(findings), '', await keep(findings, shape, options)].join('\n')}`);
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
