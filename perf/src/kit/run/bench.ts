import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot, runCommand } from '@onepass/local';
import { type Items, loadRelease, openItems, type Release } from '@onepass/release';
import { writeProtoset } from '../../ghz.js';
import { describeMachine } from '../../machine.js';
import { servedShape } from '../../page.js';
import { REPORT_FOLDER } from '../../summary.js';
import { ensureGhz, type Ghz, splitCores } from '../load/index.js';
import type { Shape } from '../measurements.js';
import { describeShape, sameShape } from '../report/findings.js';
import {
  compareToSummary,
  earlierFindings,
  figuresOf,
  formatComparison,
  formatHeadlines,
  GOOD_SHARE,
  hasWorsened,
  type Improvement,
  type KitFigure,
  openStore,
  type RunIdentity,
  type Store,
  widen,
  writeReport,
  writeSummary,
} from '../report/index.js';
import { medianOf, saturated } from '../report/rounds.js';
import { hasSyntheticWeights } from '../shape/shape.js';
import { shapeRelease } from '../shape/shape-release.js';
import { type CommonSettings, commonSettings } from '../systems/systems.js';
import type { Ground } from './ground.js';
import { systemDescriptions, versionsOf } from './identity.js';
import { requireMemory } from './memory.js';
import { HELP, type KitOptions, parseKitOptions } from './options.js';
import { type Bed, type BedRelease, claimBeds, sweepBeds } from './plan.js';
import { runBed } from './run-bed.js';
import { takeApart } from './take-apart.js';

const IMPROVEMENTS = join(repositoryRoot, 'perf', 'improvements.json');

/** @returns the exit code */
export function runBench(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const options = parseKitOptions(args);
    if (options === 'help') {
      console.log(HELP);
      return 0;
    }
    return bench(options, (line) => console.log(`  ${line}`));
  });
}

async function bench(options: KitOptions, progress: (line: string) => void): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'onepass-bench-'));
  try {
    const kit = await openKit(options, folder, progress);
    try {
      await measureAll(options, kit);
      return await tell(options, kit);
    } finally {
      await kit.store.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A run of the bench under way. */
interface Kit {
  readonly folder: string;
  readonly report: string;
  readonly run: RunIdentity;
  readonly store: Store;
  readonly ghz: Ghz;
  readonly protoset: string;
  readonly given: Given;
  readonly claims: readonly Bed[];
  /** Of beds whose release is made, by what it is made of. */
  readonly made: ReadonlyMap<string, Served>;
  readonly notes: string[];
  /** Of them, those about loads that are to be sent again. */
  readonly missed: string[];
  readonly progress: (line: string) => void;
  /** Aborted when the run is to end after the load that is under way. */
  readonly cut: AbortSignal;
}

/** Loaded once, whatever the number of beds that are run on it. */
interface Served {
  readonly releaseDir: string;
  readonly release: Release;
  readonly items: Items;
}

interface Given extends Served {
  readonly shape: Shape;
}

async function openKit(options: KitOptions, folder: string, progress: (line: string) => void): Promise<Kit> {
  const ghz = await ensureGhz(progress);
  const given = await givenOf(options.releaseDir ?? join(repositoryRoot, 'releases', 'default'));
  const claims = claimBeds(options.size, given.shape, options.shape).map((bed) => restricted(bed, options));
  const sweeps = hasSweeps(options) ? sweepsOf(options, given, 1) : [];
  for (const bed of [...claims, ...sweeps]) requireMemory(bed, bed.release === 'given' ? given.shape : bed.release);
  const made = await makeReleases(claims, progress);
  const releases = new Set(claims.map((bed) => servedTo(bed, { made, given }).release));
  const run: RunIdentity = {
    machine: describeMachine(),
    versions: await versionsOf(ghz.version),
    settings: {
      ...settingsTold(claims, options),
      size: options.size,
      seconds: String(claims[0]!.seconds),
      plan: planOf([...claims, ...sweeps]),
    },
    systems: systemDescriptions(claims[0]!.systems),
    releases: [...releases].map(({ manifest }) => ({
      id: manifest.id,
      name: manifest.name,
      synthetic: hasSyntheticWeights(manifest),
    })),
  };
  const report = options.size === 'smoke' ? join(folder, 'report') : REPORT_FOLDER;
  const protoset = join(folder, 'contract.binpb');
  await writeProtoset(repositoryRoot, protoset);
  const store = await openStore(report, run, { fresh: options.fresh });
  if (store.size > 0) progress(`going on from ${store.size} findings of a run that was cut short`);
  return {
    folder,
    report,
    run,
    store,
    ghz,
    protoset,
    given,
    claims,
    made,
    notes: [],
    missed: [],
    progress,
    cut: cutBySignals(),
  };
}

/** Of all that a run is to measure: one of another plan is no repetition of it. */
const planOf = (beds: readonly Bed[]) => createHash('sha256').update(JSON.stringify(beds)).digest('hex').slice(0, 8);

async function givenOf(releaseDir: string): Promise<Given> {
  const served = await servedFrom(releaseDir);
  return { ...served, shape: servedShape(served.release) };
}

async function servedFrom(releaseDir: string): Promise<Served> {
  const release = await loadRelease(releaseDir);
  return { releaseDir, release, items: await openItems(release) };
}

async function makeReleases(beds: readonly Bed[], progress: Kit['progress']): Promise<Map<string, Served>> {
  const made = new Map<string, Served>();
  for (const { release } of beds) {
    if (release === 'given' || made.has(madeOf(release))) continue;
    made.set(madeOf(release), await servedFrom(await shapeRelease(release, { progress })));
  }
  return made;
}

const madeOf = (release: BedRelease) => JSON.stringify(release);

const servedTo = ({ release }: Bed, { made, given }: Pick<Kit, 'made' | 'given'>): Served =>
  made.get(madeOf(release)) ?? given;

const hasSweeps = ({ size, shape }: KitOptions) => size === 'full' && shape === undefined;

const sweepsOf = (options: KitOptions, { shape }: Given, peakQps: number) =>
  sweepBeds(shape, peakQps).map((bed) => restricted(bed, options));

/** As the options say. */
function restricted(bed: Bed, { systems, rounds, seconds }: KitOptions): Bed {
  return {
    ...bed,
    systems: bed.systems.filter((name) => systems?.includes(name) ?? true),
    rounds: rounds ?? bed.rounds,
    seconds: seconds ?? bed.seconds,
  };
}

/** The first signal lets the load under way end; a second one ends the process as usual. */
function cutBySignals(): AbortSignal {
  const cut = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      console.error('\nEnding after the load that is under way; the same command goes on from there.');
      cut.abort();
    });
  }
  return cut.signal;
}

/** A smoke run shows that pages come, not how soon. */
function settingsOf({ shape }: Pick<Bed, 'shape'>, { size }: KitOptions): CommonSettings {
  return commonSettings(shape, size === 'smoke' ? { ONEPASS_BUDGET_MS: '30000' } : {});
}

/** Of all shapes of a run: what differs between them is told of each. */
function settingsTold(beds: readonly Bed[], options: KitOptions): Record<string, string> {
  const all = new Map(beds.map((bed) => [describeShape(bed.shape), settingsOf(bed, options)]));
  const told = Object.keys(settingsOf(beds[0]!, options)).map((name) => {
    const values = [...all].map(([shape, settings]) => [settings[name] ?? '', shape] as const);
    const [[first = ''] = []] = values;
    const same = values.every(([value]) => value === first);
    return [name, same ? first : values.map(([value, shape]) => `${value} at ${shape}`).join('; ')] as const;
  });
  return Object.fromEntries(told);
}

async function measureAll(options: KitOptions, kit: Kit): Promise<void> {
  for (const bed of kit.claims) {
    const ground = groundOf(bed, options, kit);
    await runBed(bed, ground);
    if (bed.takenApart) await takeApart(bed, ground);
  }
  if (hasSweeps(options) && !kit.cut.aborted) {
    const { measurements } = kit.store.findings();
    const here = measurements.filter((m) => m.sweep === undefined && sameShape(m.shape, kit.given.shape));
    const peakQps = medianOf(saturated(here, 'A'), (m) => m.seen.goodput);
    if (!Number.isFinite(peakQps)) kit.notes.push('The sweeps were left out: they need what A answers at most.');
    else {
      for (const bed of sweepsOf(options, kit.given, peakQps)) await runBed(bed, groundOf(bed, options, kit));
    }
  }
  if (!kit.cut.aborted && kit.missed.length === 0) await kit.store.complete();
}

function groundOf(bed: Bed, options: KitOptions, kit: Kit): Ground {
  const { store, folder, protoset, ghz, notes, missed, progress, cut } = kit;
  const { releaseDir, release, items } = servedTo(bed, kit);
  const note = (sentence: string) => {
    notes.push(sentence);
    progress(sentence);
  };
  return {
    ...{ releaseDir, release, items, store, folder, protoset, progress, note, cut },
    missed: (sentence) => {
      missed.push(sentence);
      note(sentence);
    },
    settings: settingsOf(bed, options),
    ghz: ghz.path,
    cores: splitCores(),
  };
}

/** The page, the figures, and what became of them since. */
async function tell(options: KitOptions, { given, store, report, run, notes, progress }: Kit): Promise<number> {
  const found = store.findings();
  const improvements = JSON.parse(await readFile(IMPROVEMENTS, 'utf8')) as Improvement[];
  const findings = { ...found, improvements, notes: [...found.notes, ...notes] };
  const earlier = (await earlierFindings(report, run)).map((one) => figuresOf(one));
  const figures: readonly KitFigure[] = widen(figuresOf(findings), earlier);
  // Offered rates are swept at the release at hand: what its gateway has for a page is what nearly all pages should keep.
  const latencyMs = Number(settingsOf(given, options).ONEPASS_BUDGET_MS);
  const page = await writeReport(report, findings, { figures, objective: { latencyMs, goodShare: GOOD_SHARE } });
  console.log(`\n${formatHeadlines(findings, figures)}`);
  progress(`the page: ${page}`);
  const good = findings.measurements.some(({ seen }) => seen.good > 0);
  if (!good) throw startupError('no page was whole in any load: there is nothing to report');
  if (options.size === 'smoke') return 0;
  const compared = await compareToSummary(report, figures, run.machine);
  console.log(`\n${formatComparison(compared)}`);
  if (options.compare) return hasWorsened(compared) ? 1 : 0;
  await writeSummary(report, figures);
  return 0;
}
