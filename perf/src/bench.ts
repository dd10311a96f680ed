import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OnepassError } from '@onepass/client';
import { Mesh, repositoryRoot } from '@onepass/local';
import { loadRelease, openItems, type Release } from '@onepass/release';
import { BareChain } from './bare-chain.js';
import { findGhz } from './ghz.js';
import { describeMachine, residentMiB } from './machine.js';
import { Bench, warmUp } from './measure.js';
import { type BenchOptions, HELP, parseOptions } from './options.js';
import { habitsOf, pageOf } from './page.js';
import { writeHistories } from './people.js';
import { PureCompute } from './pure-compute.js';
import { errorsOf, type Findings, formatReport, type Round, summarise } from './report.js';
import { mergeIntoSummary, REPORT_FOLDER } from './summary.js';

/** @returns the exit code */
export async function runBench(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args, repositoryRoot);
    if (options === 'help') {
      console.log(HELP);
      return 0;
    }
    const findings = await bench(options, (line) => console.log(`  ${line}`));
    console.log(`\n${formatReport(findings)}`);
    const failed = Object.keys(errorsOf(findings)).length > 0;
    if (failed) console.error('Some calls failed or were degraded: the figures are not worth keeping.');
    else if (!options.smoke) await save(findings);
    return failed ? 1 : 0;
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    console.error(error.message);
    if (error.kind === 'internal') console.error(error.cause);
    return 1;
  }
}

async function save(findings: Findings): Promise<void> {
  const summary = summarise(findings);
  await mkdir(REPORT_FOLDER, { recursive: true });
  await writeFile(join(REPORT_FOLDER, 'latest.json'), `${JSON.stringify({ ...findings, summary }, null, 2)}\n`);
  await writeFile(join(REPORT_FOLDER, 'latest.md'), formatReport(findings));
  await mergeIntoSummary(REPORT_FOLDER, {
    recommend_p50_ms: summary.p50Ms,
    recommend_qps: summary.qps,
    overhead_cpu_ms: summary.overheadMs,
    bare_chain_cpu_ms: summary.bareCpuMs,
    overhead_to_bare_chain: summary.overheadToBare,
  });
  console.log(`Written: ${REPORT_FOLDER}/latest.json, latest.md and, in part, summary.json`);
}

/** Starts the mesh, measures it, and stops it. */
export async function bench(options: BenchOptions, progress: (line: string) => void): Promise<Findings> {
  const ghz = findGhz();
  const release = await loadRelease(options.releaseDir);
  const folder = await mkdtemp(join(tmpdir(), 'onepass-bench-'));
  const mesh = await Mesh.prepare({ releaseDir: options.releaseDir, port: undefined, dataDir: folder });
  try {
    progress('starting the mesh');
    await mesh.start();
    return await measure(options, { mesh, release, ghz, folder, progress });
  } finally {
    await mesh.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Stage {
  readonly mesh: Mesh;
  readonly release: Release;
  readonly ghz: string;
  /** For files of this run. */
  readonly folder: string;
  readonly progress: (line: string) => void;
}

async function measure(options: BenchOptions, { mesh, release, ghz, folder, progress }: Stage): Promise<Findings> {
  const { people, seconds, rounds: roundCount } = options;
  const { model } = release.manifest;
  const page = pageOf(release);
  const items = await openItems(release);
  const gateway = mesh.address('gateway');
  progress(`writing ${people} histories of ${model.window} actions`);
  const many = { count: people, length: model.window, nowMs: Date.now() };
  await writeHistories(gateway, items.ids, habitsOf(release, page), many);
  progress('warming');
  const warm = await warmUp(gateway, page, { people, repeats: options.smoke ? 1 : 8 });
  const load = await Bench.open(mesh, { ghz, page, people, seconds, folder });
  const pure = await PureCompute.open(release, warm);
  const bare = await BareChain.open(mesh, release, page);
  try {
    const search = await findSaturation(load, options, progress);
    const concurrency = mostCalls(search);
    await pure.measure(50);
    const rounds: Round[] = [];
    for (let round = 1; round <= roundCount; round += 1) {
      progress(`round ${round} of ${roundCount}`);
      const oneAtATime = (await load.load(1)).load;
      rounds.push({
        oneAtATime,
        pure: await pure.measure(options.smoke ? 20 : 300),
        saturated: await load.load(concurrency),
        bareOneAtATime: (await load.loadBare(bare, 1)).load,
        bareSaturated: await load.loadBare(bare, concurrency),
      });
    }
    const { id, name } = release.manifest;
    const pids = Object.entries(mesh.pids());
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: describeMachine(),
      release: { id, name, width: model.width, layers: model.layers },
      items: items.count,
      people,
      seconds,
      warm,
      search,
      concurrency,
      rounds,
      residentMiB: Object.fromEntries(pids.map(([role, pid]) => [role, residentMiB(pid)])),
    };
  } finally {
    await pure.close();
    await bare.close();
  }
}

async function findSaturation(load: Bench, { concurrencies }: BenchOptions, progress: (line: string) => void) {
  const found: Findings['search'][number][] = [];
  for (const concurrency of concurrencies) {
    const { load: result } = await load.load(concurrency);
    const errors = Object.entries(result.errors).map(([status, count]) => `, ${count} ${status}`);
    progress(`c=${concurrency}: ${result.qps.toFixed(0)} calls/s, p50 ${result.p50Ms.toFixed(1)} ms${errors.join('')}`);
    found.push({ concurrency, load: result });
  }
  return found;
}

/** Time budget of a request, the gateway's default. */
const BUDGET_MS = 300;
/** Of the budget, for the slowest in a hundred: nearer to it, one unlucky load of many has a late stage. */
const MARGIN = 0.7;

/**
 * One step below where the most calls a second were served whole: there a moment's lag already makes admission refuse calls. Beyond it pages
 * are refused or degraded, which is fast and not what is measured.
 */
function mostCalls(search: Findings['search']): number {
  const whole = search.filter(({ load }) => Object.keys(load.errors).length === 0 && load.p99Ms <= MARGIN * BUDGET_MS);
  const best = whole.reduce((a, b) => (b.load.qps > a.load.qps ? b : a), whole[0] ?? search[0]!);
  return search[Math.max(0, search.indexOf(best) - 1)]!.concurrency;
}
