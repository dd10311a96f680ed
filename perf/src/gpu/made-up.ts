/** Which of a pass's inputs numbers are for: each has its own. */
export const PARTS = { rows: 0, context: 1, candidates: 2, candidateRow: 3 } as const;

/**
 * Evenly from -scale to scale, by position: the finaliser of MurmurHash3 over the index. training/src/onepass_training/peer/shape.py has the same, so that
 * both sides of the bench score the same.
 */
export function madeUpNumbers(count: number, seed: number, part: number, scale: number): Float32Array {
  const offset = Math.imul(seed * 4 + part, 0x9e3779b9);
  return Float32Array.from({ length: count }, (_, i) => {
    let mixed = (i + offset) >>> 0;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b) >>> 0;
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) >>> 0;
    mixed = (mixed ^ (mixed >>> 16)) >>> 0;
    return (mixed / 2 ** 31 - 1) * scale;
  });
}

/** Of one batch of people, person by person; shapes as the device graphs have them. */
export interface MadeUpInputs {
  readonly rows: Float32Array;
  readonly context: Float32Array;
  readonly candidates: Float32Array;
  readonly candidateRow: Float32Array;
}

export interface InputSizes {
  readonly batch: number;
  readonly n: number;
  readonly k: number;
  readonly contexts: number;
  readonly slates: number;
  /** F and E. */
  readonly columns: number;
  readonly embedding: number;
}

/** What people did and what they are asked about: the first of a larger batch are a smaller one's. */
export function madeUpInputs(sizes: InputSizes, seed: number): MadeUpInputs {
  const { batch, n, k, contexts, slates, columns, embedding } = sizes;
  const scale = Math.sqrt(3 / embedding);
  const part = (name: keyof typeof PARTS, count: number) => madeUpNumbers(batch * count, seed, PARTS[name], scale);
  return {
    rows: part('rows', n * columns),
    context: part('context', slates * contexts * columns),
    candidates: part('candidates', slates * k * embedding),
    candidateRow: part('candidateRow', slates * (columns - embedding)),
  };
}
