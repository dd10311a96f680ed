import { OnepassError } from '@onepass/errors';
import type { AnyTensors } from './engine.js';

/** By element type, the array that holds such numbers. */
export const ARRAYS = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, int64: BigInt64Array } as const;
export type ElementType = keyof typeof ARRAYS;

/** What a graph says of one input or output. A dimension that is not fixed is a name. */
export interface TensorSpec {
  readonly name: string;
  /** Absent = float32. */
  readonly element?: ElementType;
  readonly shape: readonly (number | string)[];
}

/**
 * Every tensor of `specs` is there with the right type, the right number of dimensions, the fixed ones as the graph has them, the named ones equal
 * among each other, and data of exactly that size; and nothing else is there.
 * @throws OnepassError `internal`; its cause says which tensor is wrong.
 */
export function checkTensors(
  graph: string,
  inputs: [readonly TensorSpec[], AnyTensors],
  outputs: [readonly TensorSpec[], AnyTensors],
): void {
  const named = new Map<string, number>();
  checkSide(`graph ${graph}: input`, ...inputs, named);
  checkSide(`graph ${graph}: output`, ...outputs, named);
}

function checkSide(what: string, specs: readonly TensorSpec[], given: AnyTensors, named: Map<string, number>): void {
  for (const spec of specs) {
    const tensor = given[spec.name];
    if (tensor === undefined) throw graphDefect(`${what} "${spec.name}" is missing`);
    const element = spec.element ?? 'float32';
    if (!(tensor.data instanceof ARRAYS[element])) throw graphDefect(`${what} "${spec.name}" is not ${element}`);
    const { shape, data } = tensor;
    let size = 1;
    let right = shape.length === spec.shape.length;
    for (let i = 0; right && i < shape.length; i++) {
      const dimension = shape[i]!;
      size *= dimension;
      right =
        Number.isSafeInteger(dimension) && dimension >= 0 && dimension === expected(spec.shape[i]!, dimension, named);
    }
    if (!right)
      throw graphDefect(`${what} "${spec.name}" has shape [${shape}], the graph wants [${wanted(spec, named)}]`);
    if (data.length !== size) {
      throw graphDefect(`${what} "${spec.name}" of shape [${shape}] has ${data.length} numbers instead of ${size}`);
    }
  }
  if (Object.keys(given).length === specs.length) return;
  const unknown = Object.keys(given).filter((name) => !specs.some((spec) => spec.name === name));
  throw graphDefect(`${what} "${unknown.join('", "')}" is not one of ${specs.map((spec) => spec.name).join(', ')}`);
}

/** The value a dimension must have: fixed, or that of the first tensor with this name. */
function expected(dimension: number | string, given: number, named: Map<string, number>): number {
  if (typeof dimension === 'number') return dimension;
  const known = dimension === '' ? given : named.get(dimension);
  if (known === undefined) named.set(dimension, given);
  return known ?? given;
}

function wanted(spec: TensorSpec, named: Map<string, number>): string {
  return spec.shape.map((d) => (typeof d === 'string' && named.has(d) ? `${d} = ${named.get(d)}` : d)).join(', ');
}

/** A mistake of ours in using a graph, or the native side's failure: the sentence is for the log, not for the caller. */
export function graphDefect(sentence: string): OnepassError {
  return new OnepassError({ kind: 'internal' }, 'a graph run failed', { cause: new Error(sentence) });
}
