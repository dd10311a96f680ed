import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { loadRelease, type Release } from '@onepass/release';
import { describeMachine } from '../machine.js';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import { table } from '../table.js';
import { FIT_EFFORT, fitToLoads, SMOKE_FIT_EFFORT, tellFitted } from './measure/fit-to-loads.js';
import { type MeasureTerms, measureServiceTimes } from './measure/measure-times.js';
import type { RealOptions } from './options.js';
import { HOPS, paceOf } from './sim/draw.js';
import { ENCODE_KINDS, readServiceTimes, type ServiceTimes, writeServiceTimes } from './sim/service-times.js';
import { type Compared, errorsOf, rangeOf, SERVICE_TIMES, worstOf, writeRange } from './validate/compare.js';
import { validationPlot } from './validate/plot.js';
import { sendRealLoads } from './validate/real-loads.js';
import { FULL_EFFORT, SMOKE_EFFORT, validate } from './validate/run-validate.js';

type Progress = (line: string) => void;

const FULL_MEASURE = { people: 360, newcomers: 80, heatSeconds: 45 };
const SMOKE_MEASURE = { people: 3, newcomers: 2, heatSeconds: 1 };
const PLOT = 'plan-validation.svg';

/** Of who starts them: JavaScript file of the kit's replayer; absent: the built one. */
interface Programs {
  readonly replayer?: string;
}

/** @returns what to tell */
export async function measureCommand(
  file: string,
  options: RealOptions,
  progress: Progress,
  programs: Programs = {},
): Promise<string> {
  const times = await fitted(await measure(options, progress), options, progress, programs);
  await mkdir(dirname(file), { recursive: true });
  await writeServiceTimes(file, times);
  return `\n${[...tellTimes(times), '', `Written to ${file}.`].join('\n')}`;
}

async function measure(options: RealOptions, progress: Progress): Promise<ServiceTimes> {
  const { release, releaseDir } = await releaseOf(options);
  const folder = await mkdtemp(join(tmpdir(), 'onepass-measure-'));
  try {
    const effort: Omit<MeasureTerms, 'release' | 'releaseDir' | 'folder' | 'progress'> = options.smoke
      ? SMOKE_MEASURE
      : FULL_MEASURE;
    return await measureServiceTimes({ release, releaseDir, folder, ...effort, progress });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fitted(times: ServiceTimes, options: RealOptions, progress: Progress, programs: Programs) {
  const { release, releaseDir } = await releaseOf(options);
  const effort = options.smoke ? SMOKE_FIT_EFFORT : FIT_EFFORT;
  const [real] = await sendRealLoads({ release, releaseDir, progress, ...programs }, effort, [1]);
  progress('fitting what a load does to pages');
  return fitToLoads(times, real!, release);
}

/** @returns what to tell */
export async function validateCommand(
  options: RealOptions,
  progress: Progress,
  programs: Programs = {},
): Promise<string> {
  const { release, releaseDir } = await releaseOf(options);
  // What a smoke run measures is its own release's, fitted to no load, and counts nowhere.
  const times = options.smoke ? await measure(options, progress) : await readServiceTimes(SERVICE_TIMES);
  const effort = options.smoke ? SMOKE_EFFORT : FULL_EFFORT;
  const compared = await validate({ release, releaseDir, times, effort, progress, ...programs });
  const { cpu, cores } = describeMachine();
  const date = new Date().toISOString().slice(0, 10);
  if (options.smoke) {
    return `\n${[...tellCompared(compared), '', 'A smoke run shows that it works; its numbers mean nothing and are not kept.'].join('\n')}`;
  }
  const worst = worstOf(compared);
  if (!Object.values(worst).every(Number.isFinite)) {
    const why = 'Not kept: a load had too few whole pages for a 99th percentile. Is the machine idle?';
    return `\n${[...tellCompared(compared), '', why].join('\n')}`;
  }
  await mergeIntoSummary(REPORT_FOLDER, { ...worst });
  const caption = `A point a load; ${cpu}, ${cores} cores, release ${release.id}, ${date}`;
  await writeWhole(join(REPORT_FOLDER, PLOT), validationPlot(compared, caption));
  await writeRange(rangeOf(compared, { date, cpu, cores, release: release.id }), compared);
  return `\n${[...tellCompared(compared), '', `Drawn in perf/report/${PLOT}; the figures are in perf/report/summary.json.`].join('\n')}`;
}

async function releaseOf({ releaseDir = join(repositoryRoot, 'releases', 'default') }: RealOptions): Promise<{
  release: Release;
  releaseDir: string;
}> {
  return { release: await loadRelease(releaseDir), releaseDir };
}

async function writeWhole(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

function tellTimes(times: ServiceTimes): string[] {
  const ms = (number: number) => number.toFixed(2);
  const rows = ENCODE_KINDS.map((kind) => {
    const pages = times.pages.filter((page) => page.kind === kind);
    const mean = (...parts: readonly (keyof ServiceTimes['pages'][number])[]) =>
      ms(pages.reduce((sum, page) => sum + parts.reduce((all, part) => all + Number(page[part]), 0), 0) / pages.length);
    return [
      kind,
      ...[String(pages.length), mean('wallMs'), mean('client'), mean('gateway'), mean('encoder'), mean('encoderGraph')],
      ...[mean('retrieval'), mean('ranking'), mean('rankingGraph')],
      mean('gatewayBeside', 'encoderBeside', 'retrievalBeside', 'rankingBeside'),
    ];
  });
  const loops = ['client', 'gateway', 'encoder', 'its graphs', 'retrieval', 'ranking', 'its graph', 'beside'];
  const { hopMs, behind } = paceOf(times);
  return [
    ...table(['CPU of a page, ms', 'pages', 'as seen', ...loops], rows),
    '',
    `Waking a thread takes ${times.hopMs.toFixed(3)} ms (${hopMs.toFixed(3)} for each of a page's ${HOPS} ways), ${(100 * behind).toFixed(0)}% of an event loop's CPU come behind what it tells.`,
    tellFitted(times),
  ];
}

function tellCompared(compared: readonly Compared[]): string[] {
  const share = (number: number) => `${(100 * number).toFixed(1)}%`;
  const ms = (number: number) => number.toFixed(1);
  const rows = compared.map((one) => {
    const { cells, slots, people, qps, predicted, measured } = one;
    const error = errorsOf(one);
    return [
      `${cells === 1 ? '1 cell' : `${cells} cells`}, ${slots} slots for ${people} people, ${qps} pages a second`,
      `${share(predicted.held)} / ${share(measured.held)} (${share(error.plan_hit_rate_error)})`,
      `${ms(predicted.p50Ms)} / ${ms(measured.p50Ms)} (${share(error.plan_p50_error)})`,
      `${ms(predicted.p99Ms)} / ${ms(measured.p99Ms)} (${share(error.plan_p99_error)})`,
      `${share(predicted.refused + predicted.late)} / ${share(measured.refused + measured.late)}`,
    ];
  });
  return table(['predicted / measured (off by)', 'held', 'p50, ms', 'p99, ms', 'refused or late'], rows);
}
