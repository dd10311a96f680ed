import { unsharedMemory } from '@onepass/shared-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes, type SlotState } from './index.js';

const shape = { layers: 1, width: 2, capacity: 6 };
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
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** What must be true of the pool, said simply: persons in the order in which they give way, freed slots with the time of freeing, leases. */
class Model {
  now = 0;
  readonly #writer: KvPoolWriter;
  readonly #reader: KvPoolReader;
  readonly #bytes: Buffer;
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

  constructor() {
    const memory = unsharedMemory(poolBytes(shape, SLOTS));
    this.#bytes = Buffer.from(memory.view(0, memory.bytes));
    this.#writer = KvPoolWriter.create(memory, {
      shape,
      slots: SLOTS,
      releaseId: 'r',
      poolId: 'p',
      restMs: REST_MS,
      now: () => this.now,
    });
    this.#reader = KvPoolReader.open(memory, { shape, releaseId: 'r' });
  }

  apply(op: Operation): void {
    if (op.kind === 'allocate') this.#allocate(op.person, op.keep);
    else if (op.kind === 'append') this.#append(op.person);
    else if (op.kind === 'lookup') this.#lookup(op.person);
    else if (op.kind === 'retire') this.#retire(op.person);
    else if (op.kind === 'forget') this.#forget(op.person);
    else if (op.kind === 'release') this.#release();
    else this.now += op.ms;
    this.#checkReferences();
  }

  #allocate(person: string, keep: boolean): void {
    const rested = [...this.#freedAt].filter(([, at]) => at + REST_MS <= this.now).map(([slot]) => slot);
    const inTurn = [...this.#held.filter((h) => !h.again), ...this.#held.filter((h) => h.again)];
    const victim = inTurn.find(({ state }) => !this.#kept.includes(state));
    const state = this.#writer.allocate(person, shape.capacity);
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
    if (own && !this.#kept.includes(own.state)) this.#freedAt.set(own.state.slot, this.now);
    this.#breakReferences(state.slot);
    expect(this.#held.filter((h) => h !== own).map((h) => h.state.slot)).not.toContain(state.slot);
    if (own) own.state = state;
    else this.#comes(person, state);
    this.#stamps.set(state, []);
    this.#write(state);
    if (keep) this.#kept.push(state);
    else this.#writer.release(state);
  }

  #append(person: string): void {
    const state = this.#lookup(person);
    if (state === undefined || state.length === shape.capacity) return;
    this.#writer.lease(state);
    this.#write(state);
    this.#writer.release(state);
  }

  #lookup(person: string): SlotState | undefined {
    const index = this.#held.findIndex((h) => h.person === person);
    const state = this.#writer.lookup(person);
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
    this.#writer.retire(person);
    if (held) this.#breakReferences(held.state.slot);
    this.#end(person);
  }

  #forget(person: string): void {
    if (this.#kept.some((state) => state.personKey === person)) return;
    this.#writer.forget(person);
    this.#gone = this.#gone.filter((one) => one !== person);
    for (const entry of this.#references) {
      if (Buffer.from(person, 'hex').equals(entry.reference.personKey)) entry.good = false;
    }
    this.#end(person);
    expect(this.#bytes.includes(Buffer.from(person, 'hex'))).toBe(false);
    for (const [state, stamps] of this.#stamps) {
      if (state.personKey !== person) continue;
      for (const stamp of stamps)
        expect(this.#bytes.includes(Buffer.from(Float32Array.of(stamp, stamp).buffer))).toBe(false);
    }
  }

  #release(): void {
    const state = this.#kept.shift();
    if (state === undefined) return;
    this.#writer.release(state);
    if (!this.#held.some((h) => h.state === state)) this.#freedAt.set(state.slot, this.now);
  }

  #end(person: string): void {
    const index = this.#held.findIndex((h) => h.person === person);
    if (index < 0) return;
    const { state } = this.#held.splice(index, 1)[0]!;
    if (!this.#kept.includes(state)) this.#freedAt.set(state.slot, this.now);
  }

  #write(state: SlotState): void {
    const stamps = this.#stamps.get(state)!;
    stamps.push(++this.#stamp);
    const { keys, values } = this.#writer.tensors(state);
    for (const tensor of [keys[0]!, values[0]!])
      tensor.fill(this.#stamp, state.length * shape.width, (state.length + 1) * shape.width);
    this.#writer.publish(state, { length: stamps.length, sequence: this.#stamp, hash: BigInt(this.#stamp) });
    this.#references.push({ reference: this.#writer.reference(state), stamps: [...stamps], good: true });
  }

  #breakReferences(slot: number): void {
    for (const entry of this.#references) if (entry.reference.slot === slot) entry.good = false;
  }

  #checkReferences(): void {
    for (const { reference, stamps, good } of this.#references) {
      if (!good) expect(() => this.#reader.read(reference)).toThrow('KV miss');
      else expect([...this.#reader.read(reference).values[0]!]).toEqual(stamps.flatMap((stamp) => [stamp, stamp]));
    }
    expect(this.#writer.stats().slots.held).toBe(this.#held.length);
  }
}

test('allocations, appends, retirements and evictions keep every promise to readers and writers', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const model = new Model();
      for (const op of operations) model.apply(op);
    }),
    { seed: 7, numRuns: 400 },
  );
});
