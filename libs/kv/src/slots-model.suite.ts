import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KvReference, SlotState } from './index.js';
import { SHAPE, type SlotsTerms, type SlotsUnderTest } from './slots.suite.js';

const SLOTS = 3;
const MOST_PROTECTED = 1;
const REST_MS = 10;
const PERSONS = ['1', '2', '3', '4', '5'].map((digit) => digit.repeat(32));

const operation = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('allocate' as const),
      person: fc.constantFrom(...PERSONS),
      keep: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('append' as const), person: fc.constantFrom(...PERSONS) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lookup' as const), person: fc.constantFrom(...PERSONS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), person: fc.constantFrom(...PERSONS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), person: fc.constantFrom(...PERSONS) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 12 }) }) },
);
type OpenSlots = (terms: SlotsTerms) => SlotsUnderTest | Promise<SlotsUnderTest>;
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** What must be true of the pool, said simply: persons in the order in which they give way, freed slots with the time of freeing, leases. */
class Model {
  readonly #clock: { now: number };
  readonly #pool: SlotsUnderTest;
  #held: { person: string; state: SlotState; again: boolean }[] = [];
  /** Who gave way, oldest first. */
  #gone: string[] = [];
  readonly #freedAt = new Map<number, number>(
    Array.from({ length: SLOTS }, (_, slot) => [slot, Number.NEGATIVE_INFINITY]),
  );
  readonly #kept: SlotState[] = [];
  /** Every reference ever given, with what it must read, while it may be read. */
  readonly #references: { reference: KvReference; stamps: number[]; good: boolean }[] = [];
  readonly #stamps = new Map<SlotState, number[]>();
  #stamp = 0;

  private constructor(pool: SlotsUnderTest, clock: { now: number }) {
    this.#pool = pool;
    this.#clock = clock;
  }

  static async open(open: OpenSlots): Promise<Model> {
    const clock = { now: 0 };
    return new Model(await open({ slots: SLOTS, restMs: REST_MS, now: () => clock.now }), clock);
  }

  async apply(op: Operation): Promise<void> {
    if (op.kind === 'allocate') await this.#allocate(op.person, op.keep);
    else if (op.kind === 'append') await this.#append(op.person);
    else if (op.kind === 'lookup') this.#lookup(op.person);
    else if (op.kind === 'retire') this.#retire(op.person);
    else if (op.kind === 'forget') await this.#forget(op.person);
    else if (op.kind === 'release') this.#release();
    else this.#clock.now += op.ms;
    await this.#checkReferences();
  }

  async #allocate(person: string, keep: boolean): Promise<void> {
    const rested = [...this.#freedAt].filter(([, at]) => at + REST_MS <= this.#clock.now).map(([slot]) => slot);
    const inTurn = [...this.#held.filter((h) => !h.again), ...this.#held.filter((h) => h.again)];
    const victim = inTurn.find(({ state }) => !this.#kept.includes(state));
    const state = this.#pool.allocate(person, SHAPE.capacity);
    if (rested.length === 0 && victim === undefined) {
      expect(state).toBe('no_slot');
      return;
    }
    if (typeof state === 'string') expect.fail(state);
    if (rested.length > 0) expect(rested).toContain(state.slot);
    else expect(state.slot).toBe(victim!.state.slot);
    if (rested.length === 0) this.#giveWay(victim!);
    this.#freedAt.delete(state.slot);
    const own = this.#held.find((h) => h.person === person);
    if (own && !this.#kept.includes(own.state)) this.#freedAt.set(own.state.slot, this.#clock.now);
    this.#breakReferences(state.slot);
    expect(this.#held.filter((h) => h !== own).map((h) => h.state.slot)).not.toContain(state.slot);
    if (own) own.state = state;
    else this.#comes(person, state);
    this.#stamps.set(state, []);
    await this.#write(state);
    if (keep) this.#kept.push(state);
    else this.#pool.release(state);
  }

  async #append(person: string): Promise<void> {
    const state = this.#lookup(person);
    if (state === undefined || state.length === SHAPE.capacity) return;
    this.#pool.lease(state);
    await this.#write(state);
    this.#pool.release(state);
  }

  #lookup(person: string): SlotState | undefined {
    const index = this.#held.findIndex((h) => h.person === person);
    const state = this.#pool.lookup(person);
    expect(state).toBe(this.#held[index]?.state);
    if (index >= 0) this.#comesAgain(index);
    return state;
  }

  #giveWay(victim: { person: string }): void {
    this.#held = this.#held.filter((h) => h !== victim);
    this.#gone = [...this.#gone, victim.person].slice(-(this.#held.length + 1));
  }

  #comes(person: string, state: SlotState): void {
    this.#held.push({ person, state, again: false });
    if (this.#gone.includes(person)) this.#comesAgain(this.#held.length - 1);
    this.#gone = this.#gone.filter((one) => one !== person);
  }

  /** Protected, in the place of the one who was so longest where there would be too many. */
  #comesAgain(index: number): void {
    const again = { ...this.#held[index]!, again: true };
    this.#held = [...this.#held.filter((_, i) => i !== index), again];
    if (this.#held.filter((h) => h.again).length <= MOST_PROTECTED) return;
    const first = this.#held.find((h) => h.again)!;
    this.#held = [...this.#held.filter((h) => h !== first), { ...first, again: false }];
  }

  #retire(person: string): void {
    const held = this.#held.find((h) => h.person === person);
    this.#pool.retire(person);
    if (held) this.#breakReferences(held.state.slot);
    this.#end(person);
  }

  async #forget(person: string): Promise<void> {
    if (this.#kept.some((state) => state.personKey === person)) return;
    await this.#pool.forget(person);
    this.#gone = this.#gone.filter((one) => one !== person);
    for (const entry of this.#references) {
      if (Buffer.from(person, 'hex').equals(entry.reference.personKey)) entry.good = false;
    }
    this.#end(person);
    for (const [state, stamps] of this.#stamps) {
      if (state.personKey !== person) continue;
      for (const stamp of stamps) expect(await this.#pool.holds(person, stamp)).toBe(false);
    }
  }

  #release(): void {
    const state = this.#kept.shift();
    if (state === undefined) return;
    this.#pool.release(state);
    if (!this.#held.some((h) => h.state === state)) this.#freedAt.set(state.slot, this.#clock.now);
  }

  #end(person: string): void {
    const index = this.#held.findIndex((h) => h.person === person);
    if (index < 0) return;
    const { state } = this.#held.splice(index, 1)[0]!;
    if (!this.#kept.includes(state)) this.#freedAt.set(state.slot, this.#clock.now);
  }

  async #write(state: SlotState): Promise<void> {
    const stamps = this.#stamps.get(state)!;
    stamps.push(++this.#stamp);
    await this.#pool.write(state, state.length, state.length + 1, this.#stamp);
    this.#pool.publish(state, { length: stamps.length, sequence: this.#stamp, hash: BigInt(this.#stamp) });
    this.#references.push({ reference: this.#pool.reference(state), stamps: [...stamps], good: true });
  }

  #breakReferences(slot: number): void {
    for (const entry of this.#references) if (entry.reference.slot === slot) entry.good = false;
  }

  async #checkReferences(): Promise<void> {
    for (const { reference, stamps, good } of this.#references) {
      const read = (async () => this.#pool.read(reference))();
      if (!good) await expect(read).rejects.toThrow('KV miss');
      else {
        const right = stamps.flatMap((stamp) => Array<number>(SHAPE.width).fill(stamp));
        for (const tensor of await read) expect([...tensor]).toEqual(right);
      }
    }
    expect(this.#pool.stats()).toMatchObject({ slots: { held: this.#held.length } });
  }
}

/** Any sequence of a pool's verbs, against a model of what they promise. For tests only. @param open as for `slotsConformance` */
export function slotsModel(name: string, open: OpenSlots, numRuns: number): void {
  test(`${name}: allocations, appends, retirements and evictions keep every promise to readers and writers`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const model = await Model.open(open);
        for (const op of operations) await model.apply(op);
      }),
      { seed: 7, numRuns },
    );
  });
}
