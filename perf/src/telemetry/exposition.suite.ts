/** One metric as the text format has it. */
export interface ExposedFamily {
  readonly name: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};

/**
 * Reads Prometheus's text format 0.0.4 as its document has it, and more strictly than Prometheus: HELP and TYPE stand before the samples of
 * a metric, each once; labels are legal, no sample comes twice; the buckets of a histogram rise and add up to its count.
 * @throws Error naming the line
 */
export function parseExposition(text: string): ExposedFamily[] {
  if (!text.endsWith('\n')) throw new Error('the text does not end with a line feed');
  const families = new Map<string, { name: string; type: string; samples: Sample[] }>();
  const helped = new Set<string>();
  let current: { name: string; type: string; samples: Sample[] } | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const fail = (why: string) => new Error(`${why}: ${line}`);
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      if (helped.has(name) || families.has(name)) throw fail('a second HELP');
      helped.add(name);
    } else if (keyword === 'TYPE') {
      if (!NAME.test(name) || families.has(name) || !helped.has(name) || !(rest in SUFFIXES)) throw fail('not a TYPE');
      current = { name, type: rest, samples: [] };
      families.set(name, current);
    } else {
      const sample = parseSample(line);
      const family = current;
      if (sample === undefined || family === undefined) throw fail('not a sample');
      if (!SUFFIXES[family.type]?.some((suffix) => sample.name === family.name + suffix))
        throw fail('of another metric');
      if (family.samples.some((other) => keyOf(other) === keyOf(sample))) throw fail('a second sample');
      family.samples.push(sample);
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return [...families.values()];
}

const keyOf = ({ name, labels }: Sample) => `${name} ${JSON.stringify(Object.entries(labels).sort())}`;

function parseSample(line: string): Sample | undefined {
  const [, name, braces = '', value = ''] = /^([a-zA-Z_][a-zA-Z0-9_]*)(\{.*\})? (\S+)$/.exec(line) ?? [];
  const number = value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value);
  if (name === undefined || (Number.isNaN(number) && value !== 'NaN')) return undefined;
  const labels: Record<string, string> = {};
  let left = braces.slice(1, -1);
  while (left !== '') {
    const [all, label, raw] = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?!$)|$)/.exec(left) ?? [];
    if (all === undefined || label === undefined || raw === undefined || label in labels) return undefined;
    labels[label] = raw.replaceAll(/\\(["\\n])/g, (_, c: string) => (c === 'n' ? '\n' : c));
    left = left.slice(all.length);
  }
  return { name, labels, value: number };
}

function checkHistogram({ name, samples }: ExposedFamily): void {
  const series = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...others } = sample.labels;
    const key = JSON.stringify(Object.entries(others).sort());
    series.set(key, [...(series.get(key) ?? []), sample]);
  }
  for (const [key, points] of series) {
    const buckets = points.filter((p) => p.name.endsWith('_bucket'));
    const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Infinity : Number(labels.le)));
    const rises = (values: readonly number[], strictly: boolean) =>
      values.every((v, i) => i === 0 || v > (values[i - 1] as number) || (!strictly && v === values[i - 1]));
    const counts = buckets.map((bucket) => bucket.value);
    const count = points.find((p) => p.name === `${name}_count`)?.value;
    const whole = bounds.at(-1) === Infinity && counts.at(-1) === count && points.length === buckets.length + 2;
    if (!whole || !rises(bounds, true) || !rises(counts, false)) throw new Error(`${name}${key} does not add up`);
  }
}
