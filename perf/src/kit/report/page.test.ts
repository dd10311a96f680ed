import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LoadKind, type Measurement, type PureCompute, type SweepName, SYSTEMS } from '../measurements.js';
import { widen } from './compare.js';
import { CPU_PARTS, type FlameFrame, type ReportFindings, SPAN_KINDS } from './findings.js';
import { madeUpFindings, RUN } from './fixture.suite.js';
import { DEFAULT_SHAPE, MAIN_SHAPE, REUSE_SHAPE } from './goals.js';
import { formatHeadlines } from './headline-table.js';
import { figuresOf } from './numbers.js';
import { formatPage } from './page.js';
import { earlierFindings, openStore } from './store.js';
import { SWEEPS } from './words.js';
import { writeReport } from './write-report.js';

/** What a reader sees: without style, marks and their attributes. */
const textOf = (page: string) => page.replace(/<style>.*?<\/style>/s, '').replace(/<[^>]*>/g, ' ');
/** What only a mistake would write. */
const BROKEN = /undefined|NaN|Infinity|\[object|\bnull\b/;

const number = fc.oneof(
  { weight: 8, arbitrary: fc.double({ min: 0, max: 1e4, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, Number.NaN, Number.POSITIVE_INFINITY, 1e-12, 1e15) },
);
const word = fc.oneof(
  fc.constantFrom('gateway', '<script>alert(1)</script>', '"&\'', 'a b'),
  fc.string({ maxLength: 8 }),
);
/** A word that may itself say what a mistake would write is no test of mistakes. */
const name = word.filter((text) => !BROKEN.test(text));
const shape = fc.constantFrom(MAIN_SHAPE, DEFAULT_SHAPE, REUSE_SHAPE, { n: 3, k: 2, layers: 1, width: 8 });
const system = fc.constantFrom(...SYSTEMS);
const round = fc.integer({ min: 1, max: 3 });
const load: fc.Arbitrary<LoadKind> = fc.oneof(
  fc.record({ kind: fc.constant('closed' as const), concurrency: fc.constantFrom(1, 2, 8) }),
  fc.record({ kind: fc.constant('open' as const), qps: fc.constantFrom(1, 20, 300) }),
  fc.record({ kind: fc.constant('trace' as const), people: fc.constantFrom(10, 20), qps: fc.constantFrom(1, 20) }),
);
const byName = (value: fc.Arbitrary<number>) => fc.dictionary(name, value, { maxKeys: 3 });
const measurement: fc.Arbitrary<Measurement> = fc.record({
  key: name,
  date: fc.constantFrom('2026-11-21', '2026-11-22T10:00:00Z'),
  round,
  system,
  shape,
  load,
  sweep: fc.option(
    fc.record({
      name: fc.constantFrom(...(Object.keys(SWEEPS) as SweepName[])),
      value: fc.constantFrom(0, 0.5, 1, 2, 64),
    }),
    { nil: undefined },
  ) as fc.Arbitrary<{ name: SweepName; value: number }>,
  seen: fc.record({
    seconds: number,
    calls: number,
    good: number,
    degraded: number,
    errors: byName(fc.nat()),
    goodput: number,
    latencyMs: fc.record({
      p50: number,
      p90: number,
      p99: fc.option(number, { nil: undefined }),
      p999: fc.option(number, { nil: undefined }),
    }),
    senderCpu: number,
    senderCores: fc.constant(undefined),
  }),
  cpuMs: byName(number),
  residentMiB: byName(number),
  kv: fc.record({ slot: number, append: number, recompute: number }, { requiredKeys: [] }) as fc.Arbitrary<
    Record<string, number>
  >,
  kvMiB: number,
});
const pure: fc.Arbitrary<PureCompute> = fc.record({
  round,
  shape,
  encodeAll: number,
  append: number,
  retrieveHead: number,
  rankOnKv: number,
  rankFromScratch: number,
  search: number,
});
const at = { date: fc.constant('2026-11-21'), shape, system };
const span = fc.record({ name, process: name, kind: fc.constantFrom(...SPAN_KINDS), startMs: number, endMs: number });
const frame = {
  name,
  where: name,
  part: fc.constantFrom(...CPU_PARTS),
  ms: number,
  inner: fc.constant<readonly FlameFrame[]>([]),
};
const release = fc.record({ id: name, name, synthetic: fc.boolean() });
const findings: fc.Arbitrary<ReportFindings> = fc.record({
  machine: fc.record({ cpu: name, cores: fc.nat(64), memoryGiB: fc.nat(64), kernel: name, node: name }),
  versions: fc.dictionary(name, name, { maxKeys: 2 }),
  settings: fc.dictionary(name, name, { maxKeys: 2 }),
  systems: fc.constantFrom<ReportFindings['systems']>({}, { A: '<b>', G: '' }),
  release,
  releases: fc.array(release, { maxLength: 2 }),
  measurements: fc.array(measurement, { maxLength: 16 }),
  pure: fc.array(pure, { maxLength: 4 }),
  waterfalls: fc.array(fc.record({ ...at, what: name, spans: fc.array(span, { maxLength: 6 }) }), { maxLength: 2 }),
  cpu: fc.array(
    fc.record({ ...at, process: name, parts: fc.array(fc.record({ name, ms: number }), { maxLength: 3 }) }),
    { maxLength: 2 },
  ),
  flames: fc.array(
    fc.record({ ...at, process: name, frames: fc.array(fc.record({ ...frame, inner: fc.array(fc.record(frame)) })) }),
    { maxLength: 2 },
  ),
  improvements: fc.array(fc.record({ ...at, machine: name, what: name, unit: name, before: number, after: number }), {
    maxLength: 2,
  }),
  gateway: fc.array(fc.record({ date: at.date, round, shape, p50Ms: number }), { maxLength: 2 }),
  chain: fc.array(fc.record({ date: at.date, round, shape, cpuMs: number }), { maxLength: 2 }),
  numbers: fc.constant({}),
  partial: fc.boolean(),
  notes: fc.array(name, { maxLength: 2 }),
});

test('whatever was found, the page and the table are whole: no broken number, no name as markup, nothing from elsewhere', () => {
  fc.assert(
    fc.property(findings, (found) => {
      const page = formatPage(found);
      expect(textOf(page)).not.toMatch(BROKEN);
      expect(page.match(/<[^<]*="[^"]*(NaN|undefined|Infinity)[^"]*"[^>]*>/)?.[0]).toBe(undefined);
      expect(page).not.toMatch(/<script|<b>|src=|url\(|@import|https?:/);
      expect(page.match(/<svg/g)?.length).toBe(page.match(/<\/svg>/g)?.length);
      expect(formatHeadlines(found)).not.toMatch(BROKEN);
    }),
    { seed: 6, numRuns: 40 },
  );
}, 120_000);

test('everything that was found is shown, and nothing is said to be missing', () => {
  const page = textOf(formatPage(madeUpFindings()));
  for (const { title } of Object.values(SWEEPS)) expect(page).toContain(`${title}: `);
  expect(page).toContain('Of 39.2 ms of one request');
  expect(page).toContain('what each process of A spends it on');
  expect(page).toContain('gateway of A: 2.5 ms CPU a page, most of all for gRPC and HTTP/2, 1.3 ms');
  expect(page).toContain('Searching two shards on one thread each');
  expect(page).not.toContain('Not measured in this run');
  expect(page).not.toContain('cut short');
});

test('what was not measured is said in one line, and that a run was cut at the top', () => {
  const { measurements, ...rest } = madeUpFindings();
  const some = measurements.filter((m) => m.sweep === undefined && m.system !== 'G');
  const page = textOf(
    formatPage({ ...rest, measurements: some, waterfalls: [], partial: true, notes: ['1 line left out'] }),
  );
  expect(page).toContain('Not measured in this run: the sweep of history; the sweep of candidates;');
  expect(page).toContain('the waterfall of one warm request');
  expect(page.indexOf('cut short')).toBeLessThan(page.indexOf('What one pass saves'));
  expect(page).toContain('1 line left out');
});

test('the caption of every figure and table of numbers names machine and date', () => {
  const page = formatPage(madeUpFindings());
  const captions = [...page.matchAll(/<figcaption[^>]*>(.*?)<\/figcaption>/gs)].map(([, caption]) => caption as string);
  expect(captions.length).toBeGreaterThan(10);
  const measured = captions.filter((caption) => !caption.includes('a computation, not a measurement'));
  for (const caption of measured) expect(caption).toMatch(/TEST FIXTURE, no machine, 2 cores; 2000-01-01/);
});

test('the report is written whole, with machine, versions and bands that earlier runs widened', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'onepass-page-'));
  try {
    for (const p50Ms of [1, 3]) {
      const store = await openStore(folder, RUN);
      const subject = { kind: 'gateway', release: RUN.releases[0]!.id, shape: MAIN_SHAPE, round: 1 } as const;
      await store.append('gateway', store.keyOf(subject), { date: '2000-01-01', round: 1, shape: MAIN_SHAPE, p50Ms });
      await store.complete();
      const earlier = await earlierFindings(folder, RUN);
      await writeReport(folder, store.findings(), {
        figures: widen(figuresOf(store.findings()), earlier.map(figuresOf)),
      });
      await store.close();
    }
    const files = await readdir(folder);
    expect(files.sort()).toEqual([
      'index.html',
      'measurements-1.jsonl',
      'measurements.jsonl',
      'report.json',
      'report.md',
    ]);
    const { machine, versions, figures, numbers } = JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'));
    expect([machine, versions]).toEqual([RUN.machine, RUN.versions]);
    expect(numbers).toEqual({ gateway_overhead_p50_ms: 3 });
    expect(figures).toMatchObject([{ name: 'gateway_overhead_p50_ms', value: 3, met: false }]);
    expect(figures[0].band[0]).toBeCloseTo(3 - 2 * Math.SQRT2);
    expect(await readFile(join(folder, 'index.html'), 'utf8')).toMatch(/^<!doctype html>.*<\/html>\n$/s);
  } finally {
    await rm(folder, { recursive: true });
  }
});
