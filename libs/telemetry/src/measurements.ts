import {
  type AttributesOf,
  type CounterName,
  type GaugeName,
  type HistogramName,
  METRICS,
  type MetricName,
  type MetricSpec,
  type Role,
} from './schema/index.js';

type Attributes = Readonly<Record<string, string>>;
type HasNone<N extends MetricName> = keyof AttributesOf<N> extends never ? true : false;

/** One metric and the points it has so far, by their attributes. */
export interface Family {
  readonly name: MetricName;
  readonly spec: MetricSpec;
  readonly points: ReadonlyMap<string, Point>;
}

export interface Point {
  readonly attributes: Attributes;
  /** Of a counter or gauge. */
  value(): number;
  readonly histogram: Histogram | undefined;
}

/**
 * The metrics of one process, as the schema has them: counters, gauges and histograms by attributes. Describe answers them, and the
 * Prometheus endpoint. Made for the hot path: a point is found by two look-ups and a number is added.
 */
export class Measurements {
  readonly #families = new Map<MetricName, OpenFamily>();

  /**
   * @param role whose counters begin at 0, so that the first event of a kind is an increase too, and histograms without attributes; absent:
   * each metric begins with its first event
   */
  constructor(role?: Role) {
    for (const [name, spec] of Object.entries<MetricSpec>(METRICS)) {
      if (role === undefined || !spec.roles.includes(role)) continue;
      if (spec.kind === 'counter') for (const point of allPoints(spec)) this.#point(name as MetricName, point);
      if (spec.kind === 'histogram' && Object.keys(spec.attributes).length === 0) this.#point(name as MetricName, NONE);
    }
  }

  /** Adds to a counter, which starts at 0. */
  count<N extends CounterName>(
    name: N,
    ...more: HasNone<N> extends true ? [by?: number] : [attributes: AttributesOf<N>, by?: number]
  ): void {
    const [attributes, by = 1] = more as [(Attributes | number)?, number?];
    const bare = typeof attributes !== 'object';
    const point = this.#point(name, bare ? NONE : attributes);
    point.counted += bare ? (attributes ?? 1) : by;
  }

  /** Adds one value to a histogram, in the metric's unit. */
  record<N extends HistogramName>(
    name: N,
    value: number,
    ...attributes: HasNone<N> extends true ? [] : [attributes: AttributesOf<N>]
  ): void {
    this.#point(name, (attributes[0] as Attributes | undefined) ?? NONE).histogram?.record(value);
  }

  /** A gauge, or a counter that somebody else counts: read when asked for. */
  observe<N extends GaugeName | CounterName>(
    name: N,
    read: () => number,
    ...attributes: HasNone<N> extends true ? [] : [attributes: AttributesOf<N>]
  ): void {
    this.#point(name, (attributes[0] as Attributes | undefined) ?? NONE).read = read;
  }

  /** Every metric that has a point, in the order of their first ones. */
  families(): Iterable<Family> {
    return this.#families.values();
  }

  /**
   * All of it as one flat map: `name` or `name{attribute="value",...}` to its value; a histogram has `.count` and `.sum` behind
   * its name.
   */
  snapshot(): Record<string, number> {
    const values: Record<string, number> = {};
    for (const { name, points } of this.#families.values()) {
      for (const point of points.values()) {
        const { histogram } = point;
        if (histogram === undefined) values[name + labels(point.attributes)] = point.value();
        else {
          values[`${name}.count${labels(point.attributes)}`] = histogram.count;
          values[`${name}.sum${labels(point.attributes)}`] = histogram.sum;
        }
      }
    }
    return values;
  }

  #point(name: MetricName, attributes: Attributes): OpenPoint {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = new OpenFamily(name);
      this.#families.set(name, family);
    }
    return family.point(attributes);
  }
}

const NONE: Attributes = {};

/** Every combination of the values that a metric's attributes may have. */
function allPoints({ attributes }: MetricSpec): Attributes[] {
  return Object.entries(attributes).reduce<Attributes[]>(
    (points, [name, values]) => points.flatMap((point) => values.map((value) => ({ ...point, [name]: value }))),
    [NONE],
  );
}

class OpenFamily implements Family {
  readonly points = new Map<string, OpenPoint>();
  readonly spec: MetricSpec;
  readonly #attributes: readonly string[];

  constructor(readonly name: MetricName) {
    this.spec = METRICS[name];
    this.#attributes = Object.keys(this.spec.attributes);
  }

  point(attributes: Attributes): OpenPoint {
    let key = '';
    for (const name of this.#attributes) key += `${attributes[name]}\n`;
    let point = this.points.get(key);
    if (point === undefined) {
      point = new OpenPoint(attributes, this.spec.bounds && new Histogram(this.spec.bounds));
      this.points.set(key, point);
    }
    return point;
  }
}

class OpenPoint implements Point {
  counted = 0;
  read: (() => number) | undefined;

  constructor(
    readonly attributes: Attributes,
    readonly histogram: Histogram | undefined,
  ) {}

  value(): number {
    return this.read === undefined ? this.counted : this.read();
  }
}

/** Values in buckets. */
export class Histogram {
  /** By bucket; one more than there are bounds. */
  readonly buckets: Float64Array;
  readonly bounds: readonly number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.buckets = new Float64Array(bounds.length + 1);
  }

  /** A value is in the first bucket whose bound it does not exceed. */
  record(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) bucket++;
    this.buckets[bucket]! += 1;
    this.sum += value;
    this.count += 1;
  }
}

function labels(attributes: Attributes): string {
  const pairs = Object.entries(attributes).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
