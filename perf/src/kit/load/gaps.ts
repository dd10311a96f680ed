/** A law of gaps whose logarithm is normal: half are shorter than the median, and the larger sigma, the heavier the tail. */
export interface LogNormal {
  readonly medianMs: number;
  readonly sigma: number;
}

/** One gap. */
export function drawGap({ medianMs, sigma }: LogNormal, random: () => number): number {
  return medianMs * Math.exp(sigma * normal(random));
}

const TRIES = 64;

/**
 * A gap of the law that lies between two ends; where the law hardly ever reaches there, one that is even in the logarithm.
 * @param fromMs above 0
 */
export function drawGapWithin(law: LogNormal, fromMs: number, toMs: number, random: () => number): number {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const gap = drawGap(law, random);
    if (gap >= fromMs && gap <= toMs) return gap;
  }
  return Number.isFinite(toMs) ? fromMs * (toMs / fromMs) ** random() : fromMs;
}

/** How often something happens that happens `mean` times on average, each time on its own. */
export function drawPoisson(mean: number, random: () => number): number {
  let count = 0;
  for (let left = mean - exponential(random); left > 0; left -= exponential(random)) count += 1;
  return count;
}

/** Mean 1. */
export function exponential(random: () => number): number {
  return -Math.log(1 - random());
}

/** Box and Muller's way. */
function normal(random: () => number): number {
  return Math.sqrt(2 * exponential(random)) * Math.cos(2 * Math.PI * random());
}
