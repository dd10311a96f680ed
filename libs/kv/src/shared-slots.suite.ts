import { unsharedMemory } from '@onepass/shared-memory';
import { KvPoolReader, KvPoolWriter, type KvReference, poolBytes, type SlotState } from './index.js';
import { RELEASE, SHAPE, type SlotsTerms, type SlotsUnderTest } from './slots.suite.js';

/** Slots in (un)shared memory, for the suites that every pool must pass. */
export function sharedSlots(terms: SlotsTerms): SlotsUnderTest {
  const memory = unsharedMemory(poolBytes(SHAPE, terms.slots));
  const writer = KvPoolWriter.create(memory, { ...terms, shape: SHAPE, releaseId: RELEASE, poolId: 'p-1' });
  const reader = KvPoolReader.open(memory, { shape: SHAPE, releaseId: RELEASE });
  const bytes = Buffer.from(memory.view(0, memory.bytes));
  return {
    lookup: (person, visit) => writer.lookup(person, visit),
    allocate: (person, tokens, visit) => writer.allocate(person, tokens, visit),
    grow: (state, tokens) => writer.grow(state, tokens),
    lease: (state) => writer.lease(state),
    release: (state) => writer.release(state),
    publish: (state, content) => writer.publish(state, content),
    retire: (person) => writer.retire(person),
    forget: (person) => writer.forget(person),
    reference: (state) => writer.reference(state),
    stats: () => writer.stats(),
    write: (state: SlotState, from: number, to: number, value: number) => {
      const { keys, values } = writer.tensors(state);
      for (const tensor of [...keys, ...values]) tensor.fill(value, from * SHAPE.width, to * SHAPE.width);
    },
    read: (reference: KvReference) => {
      const { keys, values } = reader.read(reference);
      return [...keys, ...values];
    },
    verify: (reference) => reader.verify(reference),
    holds: (person, value) =>
      bytes.includes(Buffer.from(person, 'hex')) || bytes.includes(Buffer.from(Float32Array.of(value, value).buffer)),
  };
}
