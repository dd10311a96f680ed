import type { Family, Histogram } from './measurements.js';
import type { Resource } from './resource.js';
import type { MetricSpec } from './schema/index.js';

/** Of the text that `exposition` answers. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const UNITS: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/** A metric's name as Prometheus has it: the unit behind it, and `_total` behind a counter's. */
export function prometheusName(name: string, { kind, unit }: Pick<MetricSpec, 'kind' | 'unit'>): string {
  const share = kind === 'gauge' && unit === '1' ? '_ratio' : '';
  return `${legal(name)}${UNITS[unit] ?? share}${kind === 'counter' ? '_total' : ''}`;
}

/** All points in Prometheus's text format; the resource as `target_info`. */
export function exposition(families: Iterable<Family>, resource: Resource): string {
  const lines = [
    '# HELP target_info Which process this is.',
    '# TYPE target_info gauge',
    `target_info${labels(Object.entries(resource))} 1`,
  ];
  for (const { name, spec, points } of families) {
    const exposed = prometheusName(name, spec);
    lines.push(`# HELP ${exposed} ${spec.says}`, `# TYPE ${exposed} ${spec.kind}`);
    for (const point of points.values()) {
      const attributes = Object.keys(spec.attributes).map((key) => [key, point.attributes[key] ?? ''] as const);
      if (point.histogram) lines.push(...histogramLines(exposed, attributes, point.histogram));
      else lines.push(`${exposed}${labels(attributes)} ${number(point.value())}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

type Labels = readonly (readonly [name: string, value: string | number])[];

function histogramLines(name: string, attributes: Labels, { bounds, buckets, sum, count }: Histogram): string[] {
  let below = 0;
  const cumulative = bounds.map((bound, i) => {
    below += buckets[i] as number;
    return `${name}_bucket${labels([...attributes, ['le', number(bound)]])} ${below}`;
  });
  return [
    ...cumulative,
    `${name}_bucket${labels([...attributes, ['le', '+Inf']])} ${count}`,
    `${name}_sum${labels(attributes)} ${number(sum)}`,
    `${name}_count${labels(attributes)} ${count}`,
  ];
}

function labels(pairs: Labels): string {
  if (pairs.length === 0) return '';
  return `{${pairs.map(([name, value]) => `${legal(name)}="${escaped(String(value))}"`).join(',')}}`;
}

function legal(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, '_');
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}
