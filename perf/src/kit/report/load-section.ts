import { type Measurement, type Shape, SYSTEMS, type SystemName } from '../measurements.js';
import { type ReportFindings, sameShape, shapeKey } from './findings.js';
import { figure, type Part, provenance, roundsTold } from './html.js';
import { shapesOf } from './numbers.js';
import { threeDigits } from './plot/bars.js';
import { linePlot, type Series } from './plot/line-plot.js';
import { element } from './plot/svg.js';
import { closedLoops, medianOf, saturated } from './rounds.js';
import { SHORT } from './words.js';

/** Latency over pages a second as more calls are in flight, for each shape and each percentile that has enough samples. */
export function loadParts(findings: ReportFindings): Part[] {
  const outside = findings.measurements.filter((m) => m.sweep === undefined);
  const drawn = shapesOf(findings).flatMap((shape) =>
    (['p50', 'p99'] as const).flatMap((percentile) => plotOf(findings, outside, shape, percentile)),
  );
  return drawn.length === 0
    ? [{ missing: 'throughput against latency' }]
    : [{ html: element('div', { class: 'plots' }, drawn) }];
}

function plotOf(
  findings: ReportFindings,
  measurements: readonly Measurement[],
  shape: Shape,
  percentile: 'p50' | 'p99',
): string[] {
  const here = measurements.filter((m) => sameShape(m.shape, shape));
  const series = SYSTEMS.flatMap((system): Series[] => {
    const points = closedLoops(here, system).flatMap(([concurrency, rounds]) => {
      const x = medianOf(rounds, (m) => m.seen.goodput);
      const y = medianOf(rounds, (m) => m.seen.latencyMs[percentile]);
      const says = `${SHORT[system]}, ${concurrency} at a time: ${threeDigits(x)} pages a second, ${percentile} ${threeDigits(y)} ms`;
      return Number.isFinite(x) && Number.isFinite(y) ? [{ x, y, says }] : [];
    });
    // One load is no curve; it is in the table.
    return points.length < 2 ? [] : [{ key: system, label: SHORT[system], points }];
  });
  if (series.length === 0) return [];
  const drawing = linePlot({
    label: `Latency over throughput, ${shapeKey(shape)}`,
    x: { label: 'whole pages a second', zero: true },
    y: { label: `${percentile}, ms`, log: true },
    series,
    ordered: true,
  });
  const rounds = new Set(here.map(({ round }) => round)).size;
  const caption = provenance(findings, {
    dates: here.map(({ date }) => date),
    shape,
    more: `closed loops, a point for each number of calls in flight; ${roundsTold(rounds)}`,
  });
  return [figure(titleOf(here, percentile), drawing, caption)];
}

function titleOf(measurements: readonly Measurement[], percentile: string): string {
  const most = (system: SystemName) => medianOf(saturated(measurements, system), (m) => m.seen.goodput);
  const [a, b] = [most('A'), most('B')];
  const what = percentile === 'p50' ? 'Median latency' : '99th percentile of latency';
  if (!Number.isFinite(a) || !Number.isFinite(b)) return `${what} against pages a second`;
  return `${what}: A reaches ${threeDigits(a)} pages a second, B ${threeDigits(b)}`;
}
