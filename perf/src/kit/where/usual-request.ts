import { median } from '../../statistics.js';
import type { Span } from '../report/findings.js';

/** A request that was taken apart. */
export interface Divided {
  /** From its begin to its end. */
  readonly ms: number;
  readonly parts: readonly Span[];
}

/** Of the requests in the middle by their length this share is looked at. */
const MIDDLE = 0.2;

/**
 * The one that stands best for all: of those of about median length the one whose parts are nearest to the medians of theirs. The median one
 * itself may have had an accident in one part, and been quick in all others.
 */
export function mostUsual<T extends Divided>(requests: readonly T[]): T | undefined {
  const sorted = [...requests].sort((a, b) => a.ms - b.ms);
  const aside = Math.floor(((1 - MIDDLE) / 2) * sorted.length);
  const lengths = sorted.map(({ parts }) => lengthsOf(parts));
  const names = [...new Set(lengths.flatMap((one) => [...one.keys()]))];
  const usual = new Map(names.map((name) => [name, median(lengths.map((one) => one.get(name) ?? 0))]));
  const distance = (one: ReadonlyMap<string, number>) =>
    names.reduce((sum, name) => sum + Math.abs((one.get(name) ?? 0) - usual.get(name)!), 0);
  return sorted
    .map((request, i) => ({ request, away: distance(lengths[i]!) }))
    .slice(aside, sorted.length - aside)
    .sort((a, b) => a.away - b.away)[0]?.request;
}

function lengthsOf(parts: readonly Span[]): Map<string, number> {
  const lengths = new Map<string, number>();
  for (const { process, name, startMs, endMs } of parts) {
    const key = `${process} ${name}`;
    lengths.set(key, (lengths.get(key) ?? 0) + endMs - startMs);
  }
  return lengths;
}
