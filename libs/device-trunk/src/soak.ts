import { OnepassError } from '@onepass/errors';
import type { SlotState } from '@onepass/kv';
import type { DeviceModel } from './device-model.js';
import type { DeviceTrunk } from './device-trunk.js';

export interface SoakOptions {
  /** Made-up people who come at random; far more than slots make people give way. */
  readonly people: number;
  /** Visits: each encodes what is new of one person, or their history anew, and ranks on it. */
  readonly visits: number;
  /** Visits at one time. */
  readonly atOnce: number;
  /** Candidates of each ranking. */
  readonly candidates: number;
  /** Of the visits, one in so many is followed by forgetting the person. */
  readonly forgetOneIn: number;
  readonly seed: number;
  /** Called after every visit. */
  readonly onVisit?: (done: number) => void;
}

export interface SoakCounts {
  readonly encodes: number;
  readonly appends: number;
  readonly ranks: number;
  readonly forgotten: number;
  /** No slot was to be had, as when more come at one time than there are slots, or KV was gone before it was used. */
  readonly missed: number;
}

/**
 * Visits of many people at one time, for as long as it takes to see that memory stays flat (the caller looks) and nothing is stuck or wrong in kind.
 * @throws OnepassError what a visit must not have: anything but a miss or a refusal
 */
export async function soak(trunk: DeviceTrunk, model: DeviceModel, options: SoakOptions): Promise<SoakCounts> {
  const counts = { encodes: 0, appends: 0, ranks: 0, forgotten: 0, missed: 0 };
  const random = randomOf(options.seed);
  const busy = new Set<number>();
  let left = options.visits;
  const visits = async () => {
    while (left > 0) {
      const person = random(options.people);
      if (busy.has(person)) continue;
      left--;
      busy.add(person);
      try {
        await visit(trunk, model, { key: person.toString(16).padStart(32, '0'), random, options, counts });
      } catch (error) {
        if (!(error instanceof OnepassError && (error.kind === 'kv_miss' || error.kind === 'overloaded'))) throw error;
        counts.missed++;
      } finally {
        busy.delete(person);
      }
      options.onVisit?.(options.visits - left);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.atOnce, options.people) }, visits));
  return counts;
}

interface Visit {
  readonly key: string;
  readonly random: Random;
  readonly options: SoakOptions;
  readonly counts: { -readonly [K in keyof SoakCounts]: SoakCounts[K] };
}

async function visit(trunk: DeviceTrunk, model: DeviceModel, { key, random, options, counts }: Visit): Promise<void> {
  const { columns, embedding, window } = model;
  const { kv } = trunk;
  const numbers = (count: number) => Float32Array.from({ length: count }, () => random(2_001) / 1_000 - 1);
  const held = kv.lookup(key);
  const isAppend = held !== undefined && held.length < window;
  const tokens = isAppend ? 1 : 1 + random(window);
  const state = isAppend ? grown(trunk, held, tokens) : allocated(trunk, key, tokens);
  const from = state.length;
  const ask = { state, from, rows: numbers(tokens * columns), tokens, sequence: from + tokens, hash: 1n };
  const { reference } = await trunk.encode(ask).finally(() => kv.release(state));
  if (isAppend) counts.appends++;
  else counts.encodes++;
  await trunk.rank({
    kv: reference,
    context: numbers(columns),
    contextRows: 1,
    candidates: numbers(options.candidates * embedding),
    candidateCount: options.candidates,
    candidateRow: numbers(columns - embedding),
  });
  counts.ranks++;
  if (random(options.forgetOneIn) > 0) return;
  await kv.forget(key);
  counts.forgotten++;
}

function allocated({ kv }: DeviceTrunk, key: string, tokens: number): SlotState {
  const found = kv.allocate(key, tokens);
  if (typeof found === 'string') throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, found);
  return found;
}

/** Leased. */
function grown({ kv }: DeviceTrunk, state: SlotState, tokens: number): SlotState {
  const refusal = kv.grow(state, state.length + tokens);
  if (refusal !== undefined) throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, refusal);
  kv.lease(state);
  return state;
}

type Random = (below: number) => number;

/** Mulberry32: its low bits are as good as its high ones. */
function randomOf(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}
