import { startupError } from '@onepass/errors';
import { kvBytes, kvShape } from '@onepass/kv';

const MIB = 2 ** 20;
/** For KV that is not kept: far more than pages are in flight, so that no page loses its slot before it is ranked, and no more than this. */
const SCRATCH = { slots: 128, leastSlots: 16, mib: 2_048 };

export interface KvSlots {
  /** In the pool of each user-encoder. */
  readonly slots: number;
  /** Of what may be kept, in all pools together. */
  readonly kvMiB: number;
  /** That all pools together take, whether it is kept or not. */
  readonly poolsMiB: number;
}

/** Two encoders in each of two cells. */
const MOST_POOLS = 4;

/**
 * Divides memory among a system's pools. What is kept is the same number of slots whatever the pools, of which each has its equal part.
 * @throws OnepassError `startup` when that is too little for the most pools
 */
export function kvSlots(model: Parameters<typeof kvShape>[0], { kvMiB, keepsKv, pools, inFlight }: KvTerms): KvSlots {
  const shape = kvShape(model);
  const slotMiB = kvBytes(shape, shape.capacity) / MIB;
  if (!keepsKv) {
    const fitting = Math.floor(SCRATCH.mib / slotMiB);
    const slots = Math.max(SCRATCH.leastSlots, inFlight, Math.min(SCRATCH.slots, fitting));
    return { slots, kvMiB: 0, poolsMiB: pools * slots * slotMiB };
  }
  const slots = MOST_POOLS * Math.floor(kvMiB / slotMiB / MOST_POOLS);
  if (slots < MOST_POOLS * inFlight) {
    const least = Math.ceil(MOST_POOLS * inFlight * slotMiB);
    throw startupError(
      `${kvMiB} MiB of KV are too little: a slot takes ${slotMiB.toFixed(1)} MiB, and ${MOST_POOLS} pools, each for ${inFlight} graph runs, need ${least}`,
    );
  }
  return { slots: slots / pools, kvMiB: slots * slotMiB, poolsMiB: slots * slotMiB };
}

export interface KvTerms {
  /** What a system that keeps KV may hold of it. */
  readonly kvMiB: number;
  readonly keepsKv: boolean;
  /** One for each user-encoder. */
  readonly pools: 1 | 2 | 4;
  /** Graph runs at one time in each encoder, each of which works on a slot. */
  readonly inFlight: number;
}
