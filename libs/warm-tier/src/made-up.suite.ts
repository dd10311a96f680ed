import type { KvShape, KvTensors } from '@onepass/kv';

/** The same numbers within (-1, 1) for the same seed. */
export function noise(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 31 - 1;
  };
}

export function emptyTensors({ layers, width, capacity }: KvShape, fill = 0): KvTensors {
  const tensor = () => new Float32Array(capacity * width).fill(fill);
  return { keys: Array.from({ length: layers }, tensor), values: Array.from({ length: layers }, tensor) };
}

/** Numbers of nobody in particular. */
export function someTensors(shape: KvShape, seed: number): KvTensors {
  const random = noise(seed);
  const tensors = emptyTensors(shape);
  for (const tensor of [...tensors.keys, ...tensors.values])
    for (let i = 0; i < tensor.length; i++) tensor[i] = random();
  return tensors;
}

let persons = 0;
/** A person key nobody had yet. */
export function newPerson(): string {
  return (++persons).toString(16).padStart(32, 'a');
}
