import { type Measurement, type SweepName, SYSTEMS, type SystemName } from '../measurements.js';
import { type ReportFindings, sameShape } from './findings.js';
import { figure, type Part, percent, provenance, roundsTold, times } from './html.js';
import { threeDigits } from './plot/bars.js';
import { type LinePlot, linePlot, type Point, type Series } from './plot/line-plot.js';
import { element } from './plot/svg.js';
import { type ByRound, byRound, grouped, hitRate, medianOf, paired, saturated } from './rounds.js';
import { SHORT, SWEEPS } from './words.js';

/** What a rate must keep to count as served. */
export interface Objective {
  readonly latencyMs: number;
  /** Least share of whole pages. */
  readonly goodShare: number;
}

/** Nearly all pages should keep it. */
export const GOOD_SHARE = 0.99;

type SweepPlot = { readonly title: string; readonly drawing: string; readonly measurements: readonly Measurement[] };

/** A plot or two for each sweep that was made, and the names of the others. */
export function sweepParts(findings: ReportFindings, objective: Objective): Part[] {
  const plots = (Object.keys(SWEEPS) as SweepName[]).map((name) => {
    const swept = findings.measurements.filter((m) => m.sweep?.name === name);
    // Of one model each: lines over points of several would mean nothing.
    const models = [...grouped(swept, ({ shape }) => `${shape.layers} ${shape.width}`).values()];
    const lines = models.filter((some) => new Set(some.map(({ sweep }) => sweep!.value)).size > 1);
    return { name, plots: lines.flatMap((measurements) => plotsOf(name, measurements, objective)) };
  });
  const drawn = plots.flatMap((sweep) => sweep.plots.map((plot) => drawnOf(findings, sweep.name, plot)));
  const missing = plots.filter((sweep) => sweep.plots.length === 0).map(({ name }) => name);
  return [
    ...(drawn.length > 0 ? [{ html: element('div', { class: 'plots' }, drawn) }] : []),
    ...missing.map((name) => ({ missing: `the sweep of ${SWEEPS[name].title.replace(/^./, (c) => c.toLowerCase())}` })),
  ];
}

function drawnOf(findings: ReportFindings, name: SweepName, { title, drawing, measurements }: SweepPlot): string {
  const first = measurements[0]!.shape;
  const one = measurements.every(({ shape }) => sameShape(shape, first));
  const rest = name === 'history' ? { k: first.k } : { n: first.n };
  const fixed = Object.entries({ ...rest, L: first.layers, d: first.width }).map(([key, value]) => `${key}=${value}`);
  const rounds = new Set(measurements.map(({ round }) => round)).size;
  const shape = one ? undefined : fixed.join(', ');
  const caption = provenance(findings, {
    dates: measurements.map(({ date }) => date),
    ...(one ? { shape: first } : {}),
    more: [shape, loadsTold(measurements), roundsTold(rounds)].filter(Boolean).join('; '),
  });
  return figure(`${SWEEPS[name].title}: ${title}`, drawing, caption);
}

function loadsTold(measurements: readonly Measurement[]): string {
  const kinds = [...new Set(measurements.map(({ load }) => load.kind))];
  const told = {
    closed: 'closed loop, each system at its best',
    open: 'open loop',
    trace: 'trace of people who come back',
  };
  return kinds.map((kind) => told[kind]).join(' and ');
}

function plotsOf(name: SweepName, measurements: readonly Measurement[], objective: Objective): SweepPlot[] {
  if (measurements.length === 0) return [];
  if (name === 'rate') return ratePlots(measurements, objective);
  const points = systemPoints(measurements);
  const goodput = seriesOf(points, (m) => m.seen.goodput, 'pages a second');
  const plots: SweepPlot[] =
    goodput.length === 0
      ? []
      : [
          {
            title: goodputTitle(name, points),
            drawing: sweepPlot(name, 'whole pages a second', goodput),
            measurements,
          },
        ];
  if (name !== 'kv_memory') return plots;
  const hits = seriesOf(points, (m) => 100 * hitRate(m), '% of pages');
  if (hits.length === 0) return plots;
  return [...plots, { title: hitTitle(points), drawing: sweepPlot(name, 'pages on held KV, %', hits), measurements }];
}

/** By system, then by the sweep's value. */
type SystemPoints = ReadonlyMap<SystemName, ReadonlyMap<number, ByRound>>;

function systemPoints(measurements: readonly Measurement[]): SystemPoints {
  const systems = SYSTEMS.filter((system) => measurements.some((m) => m.system === system));
  return new Map(
    systems.map((system) => {
      const own = grouped(
        measurements.filter((m) => m.system === system),
        (m) => m.sweep!.value,
      );
      return [system, new Map([...own].sort(([a], [b]) => a - b).map(([value, some]) => [value, best(some, system)]))];
    }),
  );
}

/** The best closed loop; of loads that have a rate of their own, that one. */
function best(measurements: readonly Measurement[], system: SystemName): ByRound {
  const closed = saturated(measurements, system);
  return closed.size > 0 ? closed : byRound(measurements);
}

function seriesOf(points: SystemPoints, value: (m: Measurement) => number, unit: string): Series[] {
  return [...points].flatMap(([system, byValue]) => {
    const found = [...byValue].flatMap(([x, rounds]): Point[] => {
      const y = medianOf(rounds, value);
      const all = [...rounds.values()].map(value).filter(Number.isFinite);
      const says = `${SHORT[system]}, ${threeDigits(x)}: ${threeDigits(y)} ${unit}`;
      return Number.isFinite(y) ? [{ x, y, low: Math.min(...all), high: Math.max(...all), says }] : [];
    });
    return found.length === 0 ? [] : [{ key: system, label: SHORT[system], points: found }];
  });
}

function sweepPlot(name: SweepName, label: string, series: readonly Series[], more: Partial<LinePlot> = {}): string {
  const { title, axis, log } = SWEEPS[name];
  const x = { label: axis, log, measured: true };
  return linePlot({ label: `${title}: ${label}`, x, y: { label, zero: true }, series, ...more });
}

/** A beside the first rival that has the same points: what the ratio is at both ends. */
function goodputTitle(name: SweepName, points: SystemPoints): string {
  const { value } = SWEEPS[name];
  const a = points.get('A');
  if (name === 'cells' && a !== undefined) {
    const [one, ...more] = [...a].map(([cells, rounds]) => ({ cells, qps: medianOf(rounds, (m) => m.seen.goodput) }));
    const last = more.at(-1);
    if (one && last && Number.isFinite(last.qps / one.qps))
      return `${value(last.cells)} answer ${times(last.qps / one.qps)} the pages of ${value(one.cells)}`;
  }
  const rival = (name === 'kv_memory' ? (['Bprime', 'B'] as const) : (['B', 'Bprime'] as const)).find((s) =>
    points.has(s),
  );
  if (a === undefined || rival === undefined) return 'pages a second';
  const ratios = [...a].flatMap(([at, rounds]) => {
    const all = paired(rounds, points.get(rival)?.get(at) ?? new Map(), (x, y) => x.seen.goodput / y.seen.goodput);
    const ratio = all.sort((x, y) => x - y)[Math.floor((all.length - 1) / 2)];
    return ratio === undefined || !Number.isFinite(ratio) ? [] : [{ at, ratio }];
  });
  const [first, last] = [ratios[0], ratios.at(-1)];
  if (first === undefined || last === undefined) return 'pages a second';
  const told = `A answers ${times(first.ratio)} the pages of ${SHORT[rival]} at ${value(first.at)}`;
  return first === last ? told : `${told}, ${threeDigits(last.ratio)} at ${value(last.at)}`;
}

function hitTitle(points: SystemPoints): string {
  const [a, b] = [points.get('A'), points.get('Bprime')];
  const shared = [...(a?.keys() ?? [])].filter((value) => b?.has(value));
  const middle = shared[Math.floor(shared.length / 2)];
  if (a === undefined || b === undefined || middle === undefined) return 'hit rate';
  const hit = (system: ReadonlyMap<number, ByRound>) => medianOf(system.get(middle)!, hitRate);
  if (!Number.isFinite(hit(a)) || !Number.isFinite(hit(b))) return 'hit rate';
  return `${percent(hit(a))} hit in A, ${percent(hit(b))} in B′, in the same ${middle} MiB`;
}

/** Whole pages and latency against what is offered, in an open loop. */
function ratePlots(measurements: readonly Measurement[], objective: Objective): SweepPlot[] {
  const points = systemPoints(measurements);
  const enough = measurements.every((m) => Number.isFinite(m.seen.latencyMs.p99 ?? Number.NaN));
  const percentile = enough ? 'p99' : 'p90';
  const latency = (m: Measurement) => m.seen.latencyMs[percentile] ?? Number.NaN;
  const served = seriesOf(points, (m) => m.seen.goodput, 'pages a second');
  const slow = seriesOf(points, latency, 'ms');
  if (served.length === 0) return [];
  const held = [...points].map(([system, byValue]) => {
    const keeps = (rounds: ByRound) =>
      medianOf(rounds, latency) <= objective.latencyMs &&
      medianOf(rounds, (m) => m.seen.good / m.seen.calls) >= objective.goodShare;
    const rates = [...byValue];
    const broken = rates.findIndex(([, rounds]) => !keeps(rounds));
    const kept = rates[(broken === -1 ? rates.length : broken) - 1]?.[0];
    if (kept === undefined) return `${SHORT[system]} at no rate tried`;
    return `${SHORT[system]} up to ${kept}/s${broken === -1 ? ' and maybe beyond' : ''}`;
  });
  const told = `${percentile} within ${objective.latencyMs} ms and ${percent(objective.goodShare)} whole pages`;
  return [
    {
      title: `${held.join(', ')} keep the objective (${told})`,
      drawing: sweepPlot('rate', 'whole pages a second', served, {
        marks: [{ kind: 'diagonal', label: 'all served' }],
      }),
      measurements,
    },
    {
      title: `${percentile} from the intended time of sending`,
      drawing: sweepPlot('rate', `${percentile}, ms`, slow, {
        y: { label: `${percentile}, ms`, log: true },
        marks: [{ kind: 'y', value: objective.latencyMs, label: `objective: ${objective.latencyMs} ms` }],
      }),
      measurements,
    },
  ].filter((_, i) => i === 0 || slow.length > 0);
}
