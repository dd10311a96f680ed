import { kvBytes } from '@onepass/kv';
import type { Shape } from '../measurements.js';

const MIB = 2 ** 20;
const FLOAT_BYTES = 4;
/** Rows behind the window, for contexts. */
export const CONTEXT_ROWS = 8;

/** MiB of the weights: the trunk's, to which the towers add little. */
export const weightsMiB = ({ layers, width }: Shape) => (12 * layers * width ** 2 * FLOAT_BYTES) / MIB;

/** MiB that one person's KV takes in a full slot. */
export function slotMiB({ n, layers, width }: Shape): number {
  const capacity = n + CONTEXT_ROWS;
  return kvBytes({ layers, width, capacity }, capacity) / MIB;
}
