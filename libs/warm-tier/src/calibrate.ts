import { randomBytes } from 'node:crypto';
import { OnepassError } from '@onepass/errors';
import type { KvShape, KvTensors } from '@onepass/kv';
import type { Codec } from './codec.js';
import { type EntryIdentity, HEADER_BYTES, newEntry, sealEntry } from './entry.js';
import type { WarmStore } from './store.js';
import type { WarmEntry } from './warm-entry.js';

export interface CalibrationAsk {
  /** Encodes a history of so many tokens from nothing and answers how long that took, in ms. */
  readonly recompute: (tokens: number) => Promise<number>;
  /** Lengths to measure, within the shape's capacity. */
  readonly tokens: readonly number[];
  /** Turns of each length; medians are told. */
  readonly turns?: number;
}

/** One length: medians in ms. */
export interface CalibrationRow {
  readonly tokens: number;
  /** From asking the store to the last number in its place; undefined = the store did not take or give it. */
  readonly restoreMs: number | undefined;
  readonly recomputeMs: number;
}

export interface Calibration {
  /** Fewest tokens from which on restoring is worth it at all measured lengths; undefined = not even at the longest. */
  readonly usedFrom: number | undefined;
  readonly table: readonly CalibrationRow[];
}

/** A tier is used where restoring takes at most this share of recomputing. */
export const WORTH = 0.5;
const TURNS = 5;

export interface CalibrationParts {
  readonly codec: Codec;
  readonly store: WarmStore;
  readonly shape: KvShape;
  readonly identity: (person: string) => EntryIdentity;
  readonly find: (person: string) => Promise<WarmEntry | undefined>;
}

/** With an entry of a person nobody is, which is removed afterwards. */
export async function measureTier(parts: CalibrationParts, ask: CalibrationAsk): Promise<Calibration> {
  const person = randomBytes(16).toString('hex');
  const table: CalibrationRow[] = [];
  try {
    for (const tokens of ask.tokens) table.push(await measureLength(parts, ask, { person, tokens }));
  } finally {
    // What cannot be removed now ages.
    await parts.store.forget(person).catch(() => {});
  }
  return { usedFrom: usedFrom(table), table };
}

export function usedFrom(table: readonly CalibrationRow[]): number | undefined {
  let from: number | undefined;
  for (const { tokens, restoreMs, recomputeMs } of [...table].sort((a, b) => b.tokens - a.tokens)) {
    if (restoreMs === undefined || restoreMs > WORTH * recomputeMs) break;
    from = tokens;
  }
  return from;
}

/** The two in turns, so that what else goes on here slows both. */
async function measureLength(
  parts: CalibrationParts,
  { recompute, turns = TURNS }: CalibrationAsk,
  { person, tokens }: { readonly person: string; readonly tokens: number },
): Promise<CalibrationRow> {
  const into = madeUp(parts.shape, tokens);
  let written = await put(parts, person, into, tokens);
  const restores: number[] = [];
  const recomputes: number[] = [];
  for (let turn = -1; turn < turns; turn++) {
    const recomputed = await recompute(tokens);
    const restored = written ? await timeRestore(parts, person, into) : undefined;
    written = restored !== undefined;
    // The first turn of a length allocates what the others use again.
    if (turn < 0) continue;
    recomputes.push(recomputed);
    restores.push(restored ?? 0);
  }
  return { tokens, restoreMs: written ? median(restores) : undefined, recomputeMs: median(recomputes) };
}

async function timeRestore({ find }: CalibrationParts, person: string, into: KvTensors): Promise<number | undefined> {
  const began = performance.now();
  const entry = await find(person);
  if (entry === undefined) return undefined;
  await entry.restore(into, {});
  return performance.now() - began;
}

/** Whether the store took it. */
async function put(parts: CalibrationParts, person: string, tensors: KvTensors, tokens: number): Promise<boolean> {
  const { codec, store, identity } = parts;
  const entry = newEntry(codec.payloadBytes(tokens));
  try {
    if (!(await codec.encode(tensors, tokens, entry.subarray(HEADER_BYTES), {}))) return false;
    const now = Date.now();
    const content = { length: tokens, sequence: tokens, hash: 1n };
    await sealEntry(entry, identity(person), { content, lastMs: now, writtenMs: now });
    return (await store.write(person, entry)) === 'written';
  } catch (error) {
    if (OnepassError.from(error).kind === 'unavailable') return false;
    throw error;
  }
}

function madeUp({ layers, width }: KvShape, tokens: number): KvTensors {
  const tensor = (seed: number) => Float32Array.from({ length: tokens * width }, (_, i) => Math.sin(seed + i * 0.7));
  const tensors = (of: number) => Array.from({ length: layers }, (_, layer) => tensor(2 * layer + of));
  return { keys: tensors(0), values: tensors(1) };
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
