import { startupError } from '@onepass/errors';
import { kvShape, poolBytes } from '@onepass/kv';
import type { Release } from '@onepass/release';

const MIB = 2 ** 20;
/** For KV that is not kept: far more than pages are in flight, so that no page loses its slot before it is ranked, and no more than this. */
const SCRATCH = { slots: 128, leastSlots: 16, mib: 2_048 };

export interface KvSlots {
  /** In the pool of each user-encoder. */
  readonly slots: number;
  /** Of what may be kept, in all pools together. */
  readonly kvMiB: number;
}

/**
 * Divides memory among a system's pools. Of memory that is kept, two encoders get half of the slots each that one gets alone; so their
 * number is even.
 * @param kvMiB what a system that keeps KV may hold of it
 * @param inFlight graph runs at one time in each encoder, each of which works on a slot
 * @throws OnepassError `startup` when that is too little for the runs of two encoders
 */
export function kvSlots(
  { manifest }: Pick<Release, 'manifest'>,
  { kvMiB, keepsKv, encoders, inFlight }: KvTerms,
): KvSlots {
  const shape = kvShape(manifest.model);
  // Slots begin on pages, so that one more slot takes what a slot takes.
  const slotMiB = (poolBytes(shape, 2) - poolBytes(shape, 1)) / MIB;
  if (!keepsKv) {
    const fitting = Math.floor(SCRATCH.mib / slotMiB);
    return { slots: Math.max(SCRATCH.leastSlots, inFlight, Math.min(SCRATCH.slots, fitting)), kvMiB: 0 };
  }
  const slots = 2 * Math.floor(kvMiB / slotMiB / 2);
  if (slots < 2 * inFlight) {
    const least = Math.ceil(2 * inFlight * slotMiB);
    throw startupError(
      `${kvMiB} MiB of KV are too little: a slot takes ${slotMiB.toFixed(1)} MiB, and two encoders of ${inFlight} graph runs need ${least}`,
    );
  }
  return { slots: slots / encoders, kvMiB: slots * slotMiB };
}

export interface KvTerms {
  readonly kvMiB: number;
  readonly keepsKv: boolean;
  readonly encoders: 1 | 2;
  readonly inFlight: number;
}
