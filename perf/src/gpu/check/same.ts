import type { Dtype } from '../options.js';

/** "Equal" of probabilities and hidden states (docs/device-graphs.md); of larger numbers in proportion. */
export const EQUAL: Readonly<Record<Dtype, number>> = { float32: 1e-4, float16: 1e-2 };

/** Largest difference of two outputs, in proportion to numbers above 1; NaN where one of them is no number, or there are not as many. */
export function largestOff(left: Float32Array, right: Float32Array): number {
  if (left.length !== right.length) return Number.NaN;
  let worst = 0;
  // Math.max keeps NaN.
  for (let i = 0; i < left.length; i++)
    worst = Math.max(worst, Math.abs(left[i]! - right[i]!) / Math.max(1, Math.abs(left[i]!)));
  return worst;
}

/** Differences of one check, and what of them is too much. */
export class Differences {
  readonly complaints: string[] = [];
  /** The largest seen; 0 = all alike bit for bit. */
  worst = 0;
  readonly #equal: number;

  constructor(dtype: Dtype) {
    this.#equal = EQUAL[dtype];
  }

  /** Complains where they are not equal. @param what beginning of the sentence */
  see(what: string, left: Float32Array, right: Float32Array): void {
    const off = largestOff(left, right);
    if (off > this.worst) this.worst = off;
    if (Number.isNaN(off)) this.complaints.push(`${what} are no numbers`);
    else if (off > this.#equal) this.complaints.push(`${what} are off by ${off.toPrecision(2)}`);
  }

  /** How alike all were. */
  get says(): string {
    return this.worst === 0 ? 'bit for bit' : `to within ${this.worst.toPrecision(2)}`;
  }
}
