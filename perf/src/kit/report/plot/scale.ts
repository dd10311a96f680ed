export interface Tick {
  readonly value: number;
  readonly text: string;
}

/** Values to places along an axis. */
export interface Scale {
  readonly domain: readonly [low: number, high: number];
  readonly ticks: readonly Tick[];
  at(value: number): number;
}

export interface ScaleOptions {
  /** Where the domain's ends are drawn. */
  readonly from: number;
  readonly to: number;
  /** About how many ticks. */
  readonly count?: number;
}

/** The least of 1, 2, 5 times a power of ten that is not below `step`. */
export function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((f) => f * power >= step * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** An even scale over the finite ones of `values`, its ends on ticks. Of nothing, or of one value, it has some width. */
export function linearScale(values: readonly number[], { from, to, count = 5 }: ScaleOptions): Scale {
  const [low, high] = widened(extent(values));
  const step = niceStep((high - low) / count);
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  // Multiples of the step, not sums: sums drift.
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(digits)) + 0);
  const domain = [ticks[0]!, ticks.at(-1)!] as const;
  return {
    domain,
    ticks: ticks.map((value) => ({ value, text: tickText(value, digits) })),
    at: (value) => from + ((value - domain[0]) / (domain[1] - domain[0])) * (to - from),
  };
}

/** A scale by orders of magnitude over the values above 0, its ends on ticks, which are 1, 2 and 5 times powers of ten, or these alone. */
export function logScale(values: readonly number[], { from, to, count = 7 }: ScaleOptions): Scale {
  const [low, high] = extent(values.filter((value) => value > 0));
  const ends = high / low < 1.001 ? [low / 2, high * 2] : [Math.max(low, high / 1e15), high];
  const steps = [[1, 2, 5], [1, 3], [1]].map((factors) => between(factors, ends[0]!, ends[1]!));
  const ticks = steps.find((some) => some.length <= count + 1) ?? steps.at(-1)!;
  const domain = [ticks[0]!, ticks.at(-1)!] as const;
  const place = (value: number) => Math.log(value / domain[0]) / Math.log(domain[1] / domain[0]);
  return {
    domain,
    ticks: ticks.map((value) => ({ value, text: tickText(value, Math.max(0, -Math.floor(Math.log10(value) + 1e-9))) })),
    at: (value) => from + place(Math.max(value, domain[0])) * (to - from),
  };
}

/** From the last such number not above `low` to the first not below `high`. */
function between(factors: readonly number[], low: number, high: number): number[] {
  const powers = range(Math.floor(Math.log10(low)) - 1, Math.ceil(Math.log10(high)) + 1);
  const all = powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)));
  const first = all.findLastIndex((value) => value <= low * (1 + 1e-9));
  const last = all.findIndex((value) => value >= high * (1 - 1e-9));
  return all.slice(first, Math.max(last, first + 1) + 1);
}

/**
 * A scale whose ticks are the values that were measured, even or by orders of magnitude; a tick whose text has no room has none. A 0 among orders of
 * magnitude is as far from the next value as that is from its double.
 */
export function measuredScale(
  values: readonly number[],
  options: ScaleOptions & { log: boolean; room: number },
): Scale {
  const { from, to, log, room } = options;
  const sorted = [...new Set(values.filter((value) => Number.isFinite(value) && !(log && value < 0)))].sort(
    (a, b) => a - b,
  );
  if (sorted.length < 2) return log && sorted[0] !== 0 ? logScale(sorted, options) : linearScale(sorted, options);
  const [low, high] = [sorted[0]!, sorted.at(-1)!];
  const shift = low === 0 ? sorted[1]! : 0;
  const along = (value: number) => (log ? Math.log(value + shift) : value);
  const at = (value: number) => from + ((along(value) - along(low)) / (along(high) - along(low))) * (to - from);
  let taken = Number.NEGATIVE_INFINITY;
  const ticks = sorted.map((value) => {
    const fits = Math.abs(at(value) - taken) >= room;
    if (fits) taken = at(value);
    return { value, text: fits ? tickText(value, 3) : '' };
  });
  return { domain: [low, high], ticks, at };
}

/** At most `digits` behind the point. */
export function tickText(value: number, digits: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.min(20, digits) });
}

function extent(values: readonly number[]): readonly [number, number] {
  const finite = values.filter(Number.isFinite);
  return finite.length === 0 ? [1, 1] : [Math.min(...finite), Math.max(...finite)];
}

/** A range whose ends are not too near each other for numbers to tell apart what lies between. */
function widened([low, high]: readonly [number, number]): readonly [number, number] {
  const most = Math.max(Math.abs(low), Math.abs(high));
  if (most < 1e-12) return [0, 1];
  return high - low > 1e-9 * most ? [low, high] : [Math.min(low, 0), Math.max(high, 0)];
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
