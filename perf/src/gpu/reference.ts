import { availableParallelism } from 'node:os';
import type { OnepassError } from '@onepass/errors';
import { createDeviceEngine } from '@onepass/inference';
import { type Agreement, agreement } from './agreement.js';
import { TrunkBed } from './bed.js';
import { PAGE } from './bench-cases.js';
import type { DeviceGraphs } from './graphs.js';
import type { BenchShape } from './options.js';

/** Probabilities are compared for so many people. */
const COMPARED_PEOPLE = 2;
const comparedPeople = ({ batch }: Pick<BenchShape, 'batch'>) => Math.min(COMPARED_PEOPLE, batch);

/** Probabilities of the first people by encoding and ranking in float32 on this machine's CPU, by the plain graphs. */
export async function referenceProbabilities(
  graphs: DeviceGraphs,
  shape: BenchShape,
  libraryDirectory: string | undefined,
): Promise<Float32Array> {
  const onLost = (error: OnepassError) => {
    throw error;
  };
  const threads = availableParallelism();
  const engine = await createDeviceEngine({ device: 'cpu', lanes: 1, threads, libraryDirectory, onLost });
  try {
    const batch = comparedPeople(shape);
    const bed = await TrunkBed.open(engine, graphs, { ...shape, batch, ...PAGE });
    const of = { system: 'onepass', batch, attention: 'plain', captured: false } as const;
    await (await bed.prepare({ ...of, timed: 'encode', rows: shape.n })).outputs();
    return await (await bed.prepare({ ...of, timed: 'rank', rows: 0 })).outputs();
  } finally {
    await engine.close();
  }
}

/** How far probabilities, of the reference's people first, lie from the reference's. */
export function besideReference(
  reference: Float32Array,
  { k, batch }: Pick<BenchShape, 'k' | 'batch'>,
  found: Float32Array,
): Agreement {
  const length = k * PAGE.slates;
  const columns = reference.length / (comparedPeople({ batch }) * length);
  return agreement({ data: reference, length, columns }, found.subarray(0, reference.length));
}
