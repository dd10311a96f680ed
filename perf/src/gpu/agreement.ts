/** Rows of numbers that belong to one list each: `[lists * length, columns]`, row-major. */
export interface Scored {
  readonly data: Float32Array;
  /** Rows of a list. */
  readonly length: number;
  readonly columns: number;
}

export interface Agreement {
  /** Largest difference of a number; NaN where one of them is none. */
  readonly worst: number;
  readonly mean: number;
  /** Mean over lists and columns of Kendall's tau-b. */
  readonly kendall: number;
}

/** How far two systems' probabilities of the same candidates lie apart, and how alike they order them. */
export function agreement(left: Scored, right: Float32Array): Agreement {
  const { data, length, columns } = left;
  const lists = data.length / (length * columns);
  let [worst, sum] = [0, 0];
  for (let i = 0; i < data.length; i++) {
    const off = Math.abs(data[i]! - right[i]!);
    // Math.max keeps NaN.
    worst = Math.max(worst, off);
    sum += off;
  }
  const taus: number[] = [];
  for (let list = 0; list < lists; list++) {
    for (let column = 0; column < columns; column++) {
      const of = (from: Float32Array) =>
        Float64Array.from({ length }, (_, i) => from[(list * length + i) * columns + column]!);
      taus.push(kendallTau(of(data), of(right)));
    }
  }
  return { worst, mean: sum / data.length, kendall: taus.reduce((all, tau) => all + tau, 0) / taus.length };
}

/** Kendall's tau-b (Biometrika 33, 1945): 1 for the same order, -1 for the opposite; ties count for neither. 1 where both have nothing but ties, NaN where one of them has. */
export function kendallTau(left: Float64Array, right: Float64Array): number {
  let [both, inLeft, inRight] = [0, 0, 0];
  for (let i = 0; i < left.length; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [Math.sign(left[i]! - left[j]!), Math.sign(right[i]! - right[j]!)];
      both += a * b;
      inLeft += a * a;
      inRight += b * b;
    }
  }
  return inLeft === 0 && inRight === 0 ? 1 : both / Math.sqrt(inLeft * inRight);
}
