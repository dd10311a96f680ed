import { freemem } from 'node:os';
import { startupError } from '@onepass/errors';
import type { Shape } from '../measurements.js';
import { nameOf } from './shape.js';

const MIB = 2 ** 20;
const FLOAT_BYTES = 4;
/** Rows behind the window, for contexts. */
const CONTEXT_ROWS = 8;
/** user-encoder and ranking of two models at most; and ONNX Runtime keeps matrices a second time, packed. */
const WEIGHT_COPIES = 8;
/** Node and Python processes, load generator and item tables, empty. */
const BASE_MIB = 2_000;

/** MiB of the weights: the trunk's, to which the towers add little. */
export const weightsMiB = ({ layers, width }: Shape) => (12 * layers * width ** 2 * FLOAT_BYTES) / MIB;

/** MiB that one person's KV takes in a slot. */
export const slotMiB = ({ n, layers, width }: Shape) => (2 * layers * (n + CONTEXT_ROWS) * width * FLOAT_BYTES) / MIB;

/** MiB that a whole bench of this shape needs, generously. @param slots persons whose KV is held at one time */
export function neededMiB(shape: Shape, slots: number): number {
  return BASE_MIB + WEIGHT_COPIES * weightsMiB(shape) + slots * slotMiB(shape);
}

/**
 * Before any work: refuses a shape that this machine has no memory for.
 * @param availableMiB of the machine, or of the group of processes that this one is confined to
 * @throws OnepassError `startup`, one sentence
 */
export function requireMemory(shape: Shape, slots: number, availableMiB = availableMemoryMiB()): void {
  const needed = neededMiB(shape, slots);
  if (needed <= availableMiB) return;
  const [gib, free] = [needed, availableMiB].map((mib) => (mib / 1024).toFixed(1));
  throw startupError(
    `this machine is too small for ${nameOf(shape)}: it needs about ${gib} GiB ` +
      `(${slots} KV slots of ${slotMiB(shape).toFixed(1)} MiB, weights of ${weightsMiB(shape).toFixed(0)} MiB), and ${free} GiB are free`,
  );
}

/** What could be had now, caches of files given back; within a container, of its limit. */
function availableMemoryMiB(): number {
  const confined = (process as { availableMemory?: () => number }).availableMemory?.() ?? Number.POSITIVE_INFINITY;
  return Math.min(freemem(), confined) / MIB;
}
