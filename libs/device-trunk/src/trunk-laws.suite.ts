import { OnepassError } from '@onepass/errors';
import type { DeviceEngine, RunTerms } from '@onepass/inference';
import type { KvReference, SlotState } from '@onepass/kv';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceModel } from './device-model.js';
import { type PagedShape, pageBytes, pagesOf } from './device-pools.js';
import { DeviceTrunk, type TrunkAttention } from './device-trunk.js';
import { PADDING_PAGE, RESERVED_PAGES } from './page-table.js';
import type { Slate } from './run-inputs.js';
import { soak } from './soak.js';

/** A trunk's graphs on a device, and the same numbers from scratch. */
export interface LawSubject {
  readonly engine: DeviceEngine;
  readonly model: DeviceModel;
  readonly attention: TrunkAttention;
  /** Of a slate on a past of these rows, in one pass over both, without anything kept. */
  probabilities(past: Float32Array, slate: Slate): Promise<Float32Array>;
  /** Of the last of these rows; absent = there is no graph that says it from scratch. */
  hidden?(rows: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

const CANDIDATES = 12;
const SLOTS = 3;
/** What gives way is written by others at once: a rest would hide what goes wrong then. */
const REST_MS = 0;
/** "Equal" of docs/release.md, of probabilities; of larger numbers in proportion. */
const EQUAL = { float32: 1e-4, float16: 1e-2 } as const;

/** A person, and what their references must mean. */
interface Person {
  readonly key: string;
  /** Rows of the KV that is held, if it is; they go with the reference to it. */
  held: { readonly state: SlotState; readonly rows: Float32Array } | undefined;
  /** Every reference ever given, with its rows. */
  readonly references: { readonly kv: KvReference; readonly rows: Float32Array }[];
}

const person = fc.nat(5);
/** After how many turns of the microtask queue the caller leaves. */
const leaves = fc.oneof({ weight: 7, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(60) });
const operation = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('encode' as const),
      person,
      tokens: fc.integer({ min: 1, max: 9 }),
      fresh: fc.boolean(),
      leaves,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('rank' as const),
      person,
      old: fc.nat(3),
      contexts: fc.integer({ min: 1, max: 2 }),
      candidates: fc.integer({ min: 1, max: CANDIDATES }),
      leaves,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), person }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), person }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Laws of every trunk on every device. For tests only. @param bursts how many bursts of operations at one time each of `histories` has */
export function trunkLaws(name: string, open: () => Promise<LawSubject>, histories: number, seed = 11): void {
  describe(name, () => {
    let subject: LawSubject;
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject.close());

    test('together as alone, and as from scratch: people of any lengths, slates of any size', async () => {
      const { model } = subject;
      const random = numbersOf(5);
      const people = [0, 1, 3, model.pageTokens, model.pageTokens + 1, model.window].map((tokens, i) => ({
        key: keyOf(i),
        rows: random(tokens * model.columns),
        slates: [slateOf(model, random, 1, CANDIDATES), slateOf(model, random, 2, 1 + i)],
      }));
      const answers = async (isTogether: boolean) => {
        const trunk = await openTrunk(subject, people.length);
        const held = async ({ key, rows }: (typeof people)[number]) =>
          rows.length === 0 ? EMPTY : (await encode(trunk, subject, undefined, key, rows)).reference;
        const references = isTogether ? await Promise.all(people.map(held)) : await inTurn(people, held);
        const ranked = (i: number) =>
          Promise.all(people[i]!.slates.map((slate) => trunk.rank({ ...slate, kv: references[i]! })));
        const order = [...people.keys()];
        const all = isTogether ? await Promise.all(order.map(ranked)) : await inTurn(order, ranked);
        const shared = Math.max(...all.flat().map(({ timing }) => timing.shared));
        await trunk.close();
        return { all, shared };
      };
      const [alone, together] = [await answers(false), await answers(true)];
      expect(together.shared).toBeGreaterThan(2);
      for (const [i, { rows, slates }] of people.entries()) {
        for (const [j, slate] of slates.entries()) {
          const scratch = await subject.probabilities(rows, slate);
          expectEqual(model, alone.all[i]![j]!.probabilities, scratch);
          expectEqual(model, together.all[i]![j]!.probabilities, scratch);
        }
      }
    });

    test("nobody gets another person's scores, whatever comes at one time and whoever gives way", {
      timeout: 240_000,
    }, async () => {
      const seen = { right: 0, missed: 0, shared: 0 };
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(operation, { maxLength: 8 }), { maxLength: 8 }), async (bursts) => {
          const world = new World(subject, await openTrunk(subject, SLOTS), seen);
          for (const burst of bursts) await world.burst(burst);
          await world.end();
        }),
        { seed, numRuns: histories },
      );
      // Else it was not tried.
      expect(seen.right).toBeGreaterThan(histories * 3);
      expect(seen.missed).toBeGreaterThan(histories / 4);
      expect(seen.shared).toBeGreaterThan(histories);
    });

    test('memory is flat', { timeout: 120_000 }, async () => {
      const trunk = await openTrunk(subject, 4 * SLOTS, 3);
      const visits = { people: 40, atOnce: 6, candidates: CANDIDATES, forgetOneIn: 5 };
      await soak(trunk, subject.model, { ...visits, visits: 60, seed: 1 });
      const { missed, ...counts } = await soak(trunk, subject.model, { ...visits, visits: 120, seed: 2 });
      expect(counts.ranks + missed).toBe(120);
      expect(counts.forgotten).toBeGreaterThan(0);
      const after = trunk.stats();
      expect(after.prepared.kept).toBeLessThanOrEqual(4);
      expect(after.prepared.dropped).toBeGreaterThan(0);
      const pages = trunk.kv.pools.pages - RESERVED_PAGES;
      expect(trunk.kv.stats().persons).toBeLessThanOrEqual(pages);
      await trunk.close();
    });
  });
}

/** People who come and go at one time, and what is known of each. */
class World {
  readonly #subject: LawSubject;
  readonly #trunk: DeviceTrunk;
  readonly #seen: { right: number; missed: number; shared: number };
  readonly #random = numbersOf(7);
  readonly #people = Array.from({ length: 6 }, (_, i): Person => ({ key: keyOf(i), held: undefined, references: [] }));

  constructor(subject: LawSubject, trunk: DeviceTrunk, seen: { right: number; missed: number; shared: number }) {
    this.#subject = subject;
    this.#trunk = trunk;
    this.#seen = seen;
  }

  /** All at one time, but encodes and ends of one person one after the other; who is forgotten comes back without waiting for it. */
  async burst(operations: readonly Operation[]): Promise<void> {
    const lines = new Map<number, Promise<void>>();
    const others: Promise<void>[] = [];
    for (const op of operations) {
      const who = this.#people[op.person]!;
      if (op.kind === 'rank') others.push(this.#rank(who, op));
      else {
        const before = lines.get(op.person) ?? Promise.resolve();
        lines.set(
          op.person,
          before.then(() => this.#change(who, op, others)),
        );
      }
    }
    await Promise.all(lines.values());
    await Promise.all(others);
  }

  async end(): Promise<void> {
    for (const who of this.#people) for (const { kv, rows } of who.references) await this.#check(kv, rows, 1, 3);
    await Promise.all(this.#people.map(({ key }) => this.#trunk.kv.forget(key)));
    expect(this.#trunk.kv.stats()).toMatchObject({ persons: 0, leased: 0, slots: { held: 0 } });
    expect(await this.#isBlank()).toBe(true);
    await this.#trunk.close();
  }

  /** Nothing of anybody, on any page but the one for padding; that of zeros included. */
  async #isBlank(): Promise<boolean> {
    const { pools } = this.#trunk.kv;
    const { layers, width } = pools.shape.kv;
    const { pageTokens } = pools.shape;
    const Numbers = pools.shape.element === 'float32' ? Float32Array : Uint16Array;
    const [keys, values] = [0, 1].map(() => Array.from({ length: layers }, () => new Numbers(pools.rows * width)));
    await pools.read(0, keys!, values!);
    const padding = [PADDING_PAGE, PADDING_PAGE + 1].map((page) => page * pageTokens * width);
    return [...keys!, ...values!].every((pool) => pool.fill(0, ...padding).every((x) => x === 0));
  }

  async #change(who: Person, op: Exclude<Operation, { kind: 'rank' }>, others: Promise<void>[]): Promise<void> {
    if (op.kind === 'encode') return this.#encode(who, op);
    who.held = undefined;
    if (op.kind === 'retire') this.#trunk.kv.retire(who.key);
    else {
      others.push(this.#trunk.kv.forget(who.key));
      for (const { kv } of who.references) expect(() => this.#trunk.kv.read(kv)).toThrow('KV miss');
    }
  }

  async #encode(who: Person, op: Extract<Operation, { kind: 'encode' }>): Promise<void> {
    const { tokens, fresh } = op;
    const { model } = this.#subject;
    const state = this.#trunk.kv.lookup(who.key);
    const old = state !== undefined && state === who.held?.state && !fresh ? who.held : undefined;
    const count = Math.min(tokens, model.window - (old === undefined ? 0 : old.rows.length / model.columns));
    if (count === 0) return;
    const rows = this.#random(count * model.columns);
    const all = Float32Array.from([...(old?.rows ?? []), ...rows]);
    const terms = { signal: leaving(op.leaves) };
    const done = await encode(this.#trunk, this.#subject, old?.state, who.key, rows, terms).catch((error) =>
      this.#missed(error),
    );
    if (done === undefined) return;
    if (this.#subject.hidden) expectEqual(this.#subject.model, done.hidden, await this.#subject.hidden(all));
    who.held = { state: done.state, rows: all };
    who.references.push({ kv: done.reference, rows: all });
  }

  async #rank(who: Person, op: Extract<Operation, { kind: 'rank' }>): Promise<void> {
    const { old, contexts, candidates } = op;
    const meant = who.references.at(-1 - old);
    const terms = { signal: leaving(op.leaves) };
    await this.#check(meant?.kv ?? EMPTY, meant?.rows ?? new Float32Array(0), contexts, candidates, terms);
  }

  async #check(
    kv: KvReference,
    rows: Float32Array,
    contexts: number,
    candidates: number,
    terms?: RunTerms,
  ): Promise<void> {
    const slate = slateOf(this.#subject.model, this.#random, contexts, candidates);
    const done = await this.#trunk.rank({ ...slate, kv }, terms).catch((error) => this.#missed(error));
    if (done === undefined) return;
    this.#seen.right++;
    if (done.timing.shared > 1) this.#seen.shared++;
    expectEqual(this.#subject.model, done.probabilities, await this.#subject.probabilities(rows, slate));
  }

  /** A miss, a refusal of the pool's, or the caller's own leaving: nothing else may be. */
  #missed(error: unknown): undefined {
    const kinds = ['kv_miss', 'overloaded', 'cancelled'];
    if (!(error instanceof OnepassError && kinds.includes(error.kind))) throw error;
    this.#seen.missed++;
    return undefined;
  }
}

/** As a service does it: a slot with room, leased, appended to; or a new one. */
async function encode(
  trunk: DeviceTrunk,
  { model }: LawSubject,
  held: SlotState | undefined,
  key: string,
  rows: Float32Array,
  terms?: RunTerms,
) {
  const tokens = rows.length / model.columns;
  const { kv } = trunk;
  let state = held;
  if (state === undefined) {
    const found = kv.allocate(key, tokens);
    if (typeof found === 'string') throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, found);
    state = found;
  } else kv.lease(state);
  try {
    const from = state.length;
    const refusal = kv.grow(state, from + tokens);
    if (refusal !== undefined) throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, refusal);
    const done = await trunk.encode({ state, from, rows, tokens, sequence: from + tokens, hash: 1n }, terms);
    return { ...done, state };
  } finally {
    kv.release(state);
  }
}

function leaving(turns: number | undefined): AbortSignal | undefined {
  if (turns === undefined) return undefined;
  const gone = new AbortController();
  void (async () => {
    for (let turn = 0; turn < turns; turn++) await null;
    gone.abort();
  })();
  return gone.signal;
}

async function inTurn<T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}

let pools = 0;

async function openTrunk({ engine, model, attention }: LawSubject, slots: number, most = 24): Promise<DeviceTrunk> {
  const { layers, width, window, contextRows, pageTokens, dtype } = model;
  const shape: PagedShape = { kv: { layers, width, capacity: window + contextRows }, element: dtype, pageTokens };
  // A few pages less than everybody may want: some give way.
  const pages = slots * pagesOf(shape, window + contextRows) + RESERVED_PAGES;
  return DeviceTrunk.open({
    engine,
    model,
    attention,
    candidates: CANDIDATES,
    kv: { slots, bytes: pages * pageBytes(shape), releaseId: 'r', poolId: `p-${++pools}`, restMs: REST_MS },
    buckets: { people: 4, slates: 8, padding: 0.6, most: 256 },
    prepared: { most, bytes: 1e9 },
    maxQueued: 256,
  });
}

const EMPTY: KvReference = {
  releaseId: '',
  poolId: '',
  slot: 0,
  generation: 0n,
  length: 0,
  personKey: new Uint8Array(0),
  historySequence: 0n,
  historyHash: 0n,
};

function keyOf(i: number): string {
  return i.toString(16).padStart(32, '0');
}

type Random = (count: number) => Float32Array;

/** Numbers from -1 to 1 that look random, the same for a seed. */
function numbersOf(seed: number): Random {
  let state = seed;
  return (count) =>
    Float32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) / 2 ** 23 - 1;
    });
}

function slateOf(
  { columns, embedding }: DeviceModel,
  random: Random,
  contextRows: number,
  candidateCount: number,
): Slate {
  return {
    context: random(contextRows * columns),
    contextRows,
    candidates: random(candidateCount * embedding),
    candidateCount,
    candidateRow: random(columns - embedding),
  };
}

function expectEqual({ dtype }: DeviceModel, actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const worst = actual.reduce(
    (most, x, i) => Math.max(most, Math.abs(x - expected[i]!) / Math.max(1, Math.abs(expected[i]!))),
    0,
  );
  expect(worst).toBeLessThanOrEqual(EQUAL[dtype]);
}
