import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { seededRandom } from '@onepass/contracts';
import {
  DeviceTrunk,
  pagedShapeOf,
  poolsBytes,
  type TrunkAttention,
  type TrunkTiming,
  USUAL_BUCKETS,
} from '@onepass/device-trunk';
import { OnepassError } from '@onepass/errors';
import type { DeviceEngine } from '@onepass/inference';
import type { SlotState } from '@onepass/kv';
import { median } from '../statistics.js';
import type { DeviceGraphs } from './graphs.js';
import { madeUpNumbers } from './made-up.js';
import type { BenchShape } from './options.js';

export interface SoakTerms {
  readonly engine: DeviceEngine;
  readonly graphs: DeviceGraphs;
  readonly shape: BenchShape;
  readonly attention: TrunkAttention;
  readonly runs: number;
  readonly people: number;
  /** Device memory for KV. */
  readonly kvBytes: number;
  /** As `performance.now()` counts: nobody comes after it. Absent = there is time. */
  readonly endAt?: number | undefined;
  progress(line: string): void;
  /** What was found so far, whenever memory was looked at. */
  keep?(found: SoakFindings): Promise<void>;
}

/** Memory after so many runs, in bytes. */
export interface MemorySample {
  readonly runs: number;
  /** Of the process. */
  readonly resident: number;
  /** Of the device, whoever uses it; 0 where the device is the CPU. */
  readonly device: number;
}

export interface SoakFindings {
  readonly attention: TrunkAttention;
  readonly runs: number;
  readonly people: number;
  /** Asks of single people that the runs served. */
  readonly asked: number;
  readonly seconds: number;
  /** Most slates or people that shared a run. */
  readonly shared: number;
  /** Of the work of all runs. */
  readonly padding: number;
  /** Sizes of runs that were prepared. */
  readonly prepared: number;
  /** Asks whose KV was given to somebody else meanwhile, or had no room. */
  readonly missed: number;
  /** Probabilities that were no numbers from 0 to 1. */
  readonly wrong: number;
  readonly samples: readonly MemorySample[];
}

const SAMPLES = 200;
/** Callers at one time for each person of a batch, so that there is always somebody to share a run with. */
const CALLERS = 2;
const FORGET_SHARE = 0.02;
const REST_MS = 20;
/** Room for every bucket that comes: ONNX Runtime keeps what was captured when a run is closed (decision 024). */
const MOST_PREPARED = 1_024;
/** Numbers that rows and candidates are cut from: what they are changes nothing here. */
const NUMBERS = 1 << 20;

/** As much of the device as people may need, and no more than most of it. */
const KV_SHARE = 0.5;
/** Where the device is the CPU. */
const CPU_KV_BYTES = 2 ** 30;

/** With so much KV that some people must give way: each has at most a whole window, on average half. */
export function soakOf(terms: Omit<SoakTerms, 'kvBytes'>): Promise<SoakFindings> {
  const { engine, graphs, people } = terms;
  const most = engine.device === 'cpu' ? CPU_KV_BYTES : KV_SHARE * engine.memory().freeBytes;
  return soak({ ...terms, kvBytes: Math.min(kvBytesOf(graphs, Math.ceil(people / 4)), most) });
}

/**
 * Lets people come, act, be ranked, give way and be forgotten until there were so many runs, or no time is left, and looks at memory meanwhile.
 */
export async function soak(terms: SoakTerms): Promise<SoakFindings> {
  const { engine, shape, runs, people, progress, endAt = Number.POSITIVE_INFINITY } = terms;
  const trunk = await openTrunk(terms);
  const counts = { shared: 0, missed: 0, wrong: 0 };
  const samples: MemorySample[] = [];
  let keeping: Promise<unknown> = Promise.resolve();
  const began = performance.now();
  const sample = () => {
    const { freeBytes, totalBytes } = engine.memory();
    const device = engine.device === 'cpu' ? 0 : totalBytes - freeBytes;
    samples.push({ runs: trunk.stats().runs, resident: process.memoryUsage().rss, device });
  };
  const found = (): SoakFindings => {
    const { runs: done, asked, padding, prepared } = trunk.stats();
    const seconds = (performance.now() - began) / 1000;
    return {
      attention: terms.attention,
      runs: done,
      people,
      asked,
      seconds,
      ...counts,
      padding,
      prepared: prepared.made,
      samples,
    };
  };
  const callers = Math.min(people, CALLERS * USUAL_BUCKETS.people);
  const caller = async (index: number) => {
    const random = seededRandom(1 + index);
    const visitor = new Visitor(trunk, terms, random);
    while (trunk.stats().runs < runs && performance.now() < endAt) {
      // Each caller has people of its own: one person's encodes come one after the other.
      const person = index + callers * Math.floor(random() * Math.max(1, Math.floor((people - index) / callers)));
      const { timings, wrong, missed } = await visitor.visit(person);
      // A refusal answers at once: callers who all ask again at once would leave no time for the runs that make room.
      if (missed > 0) await setImmediate();
      counts.wrong += wrong;
      counts.missed += missed;
      for (const { shared } of timings) counts.shared = Math.max(counts.shared, shared);
      const due = Math.floor((trunk.stats().runs * SAMPLES) / runs);
      if (samples.length <= due) {
        sample();
        if (samples.length % (SAMPLES / 10) === 1) progress(`${trunk.stats().runs} of ${runs} runs`);
        // One after the other: callers come here at one time.
        keeping = keeping.then(() => terms.keep?.(found()));
        await keeping;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: callers }, (_, index) => caller(index)));
    await keeping;
    sample();
    await terms.keep?.(found());
    return found();
  } finally {
    await trunk.close();
    progress(`${shape.dtype} trunk closed`);
  }
}

/** By how much memory is larger at the end than after so many tenths of the runs: medians over a tenth of the samples each. */
export function growthOf(samples: readonly MemorySample[], since: 2 | 5 = 2): number {
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const [early, late] = [samples.slice(since * tenth, (since + 1) * tenth), samples.slice(-tenth)];
  const growth = (of: 'resident' | 'device') => {
    const [before, after] = [median(early.map((one) => one[of])), median(late.map((one) => one[of]))];
    return before > 0 ? after / before - 1 : Number.NEGATIVE_INFINITY;
  };
  return Math.max(growth('resident'), growth('device'));
}

async function openTrunk({ engine, graphs, shape, attention, people, kvBytes }: SoakTerms): Promise<DeviceTrunk> {
  return DeviceTrunk.open({
    ...{ engine, model: graphs.description, attention },
    candidates: shape.k,
    kv: { slots: people, bytes: kvBytes, releaseId: 'made-up', poolId: randomUUID(), restMs: REST_MS },
    buckets: { ...USUAL_BUCKETS, people: shape.batch, slates: shape.batch },
    prepared: { most: MOST_PREPARED, bytes: 2 ** 32 },
    maxQueued: 4 * CALLERS * USUAL_BUCKETS.people,
  });
}

/** Bytes of KV of so many whole windows, and the pages that are nobody's. */
export function kvBytesOf({ description }: DeviceGraphs, people: number): number {
  return poolsBytes(pagedShapeOf(description), people);
}

interface Visited {
  readonly timings: readonly TrunkTiming[];
  readonly wrong: number;
  readonly missed: number;
}

/** One caller, who lets one person after the other act and be ranked. */
class Visitor {
  readonly #trunk: DeviceTrunk;
  readonly #terms: SoakTerms;
  readonly #random: () => number;
  readonly #numbers: Float32Array;

  constructor(trunk: DeviceTrunk, terms: SoakTerms, random: () => number) {
    this.#trunk = trunk;
    this.#terms = terms;
    this.#random = random;
    const { embedding } = terms.graphs.description;
    this.#numbers = madeUpNumbers(NUMBERS, 1, 0, Math.sqrt(3 / embedding));
  }

  async visit(person: number): Promise<Visited> {
    const key = person.toString(16).padStart(32, '0');
    try {
      const encoded = await this.#encode(key);
      const ranked = await this.#trunk.rank({ ...this.#slate(), kv: encoded.reference });
      if (this.#random() < FORGET_SHARE) await this.#trunk.kv.forget(key);
      const wrong = ranked.probabilities.filter((value) => !(value >= 0 && value <= 1)).length;
      return { timings: [encoded.timing, ranked.timing], wrong, missed: 0 };
    } catch (error) {
      // Others took the slot meanwhile, or all pages are in use: both are answers.
      const { kind } = OnepassError.from(error);
      if (kind !== 'kv_miss' && kind !== 'overloaded') throw error;
      return { timings: [], wrong: 0, missed: 1 };
    }
  }

  /** Some new rows behind what is held, or a whole past where nothing is, or no more would fit. */
  async #encode(key: string) {
    const { kv } = this.#trunk;
    const { window } = this.#terms.graphs.description;
    const held = kv.lookup(key);
    const appended = 1 + Math.floor(8 * this.#random());
    const state = held !== undefined && held.length + appended <= window ? held : undefined;
    if (state !== undefined) {
      kv.lease(state);
      return this.#append(state, appended);
    }
    const tokens = 1 + Math.floor(this.#random() * window);
    const found = kv.allocate(key, tokens);
    if (typeof found === 'string') throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, found);
    return this.#append(found, tokens);
  }

  /** To a leased slot. */
  async #append(state: SlotState, tokens: number) {
    const { kv } = this.#trunk;
    try {
      const from = state.length;
      const refusal = kv.grow(state, from + tokens);
      if (refusal !== undefined) throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, refusal);
      const rows = this.#some(tokens * this.#terms.graphs.description.columns);
      return await this.#trunk.encode({ state, from, rows, tokens, sequence: from + tokens, hash: 1n });
    } finally {
      kv.release(state);
    }
  }

  #slate() {
    const { columns, embedding } = this.#terms.graphs.description;
    const candidateCount = 1 + Math.floor(this.#random() * this.#terms.shape.k);
    return {
      ...{ context: this.#some(columns), contextRows: 1 },
      ...{ candidates: this.#some(candidateCount * embedding), candidateCount },
      candidateRow: this.#some(columns - embedding),
    };
  }

  /** From a place of its own. @throws RangeError never: more than there are begin anew */
  #some(count: number): Float32Array {
    const from = Math.floor(this.#random() * Math.max(1, NUMBERS - count));
    if (from + count <= NUMBERS) return this.#numbers.subarray(from, from + count);
    return Float32Array.from({ length: count }, (_, i) => this.#numbers[(from + i) % NUMBERS]!);
  }
}
