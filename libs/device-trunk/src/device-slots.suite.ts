import { FakeDeviceEngine } from '@onepass/inference';
import type { SlotState } from '@onepass/kv';
import { RELEASE, SHAPE, type SlotsTerms, type SlotsUnderTest } from '@onepass/kv/slots.suite';
import { DeviceKv, type DeviceKvOptions } from './device-kv.js';
import { pageBytes } from './device-pools.js';
import { RESERVED_PAGES } from './page-table.js';

/** A page of a slot holds all of it, as the suites want it. */
export const PAGED = { kv: SHAPE, element: 'float32', pageTokens: SHAPE.capacity } as const;

/** Device slots, for the suites that every pool must pass. @param engine absent = a fake one */
export async function deviceSlots(terms: SlotsTerms, engine = new FakeDeviceEngine({})): Promise<SlotsUnderTest> {
  const kv = await openKv(engine, terms);
  const { layers, width } = SHAPE;
  const filled = (floats: number, value: number) => Array.from({ length: layers }, () => floatsOf(floats, value));
  return {
    lookup: (person, visit) => kv.lookup(person, visit),
    allocate: (person, tokens, visit) => kv.allocate(person, tokens, visit),
    grow: (state, tokens) => kv.grow(state, tokens),
    lease: (state) => kv.lease(state),
    release: (state) => kv.release(state),
    publish: (state, content) => kv.publish(state, content),
    retire: (person) => kv.retire(person),
    forget: (person) => kv.forget(person),
    reference: (state) => kv.reference(state),
    stats: () => kv.stats(),
    write: (state: SlotState, from: number, to: number, value: number) => {
      const each = filled((to - from) * width, value);
      return kv.write(state, from, { keys: each, values: each });
    },
    read: async (reference) => {
      const { keys, values } = await kv.copy(reference);
      return [...keys, ...values] as Float32Array[];
    },
    verify: (reference) => kv.verify(reference),
    holds: async (person, value) =>
      (await bytesOf(kv)).some((bytes) => hasPerson(bytes, person) || hasTwo(bytes, value)),
  };
}

export function openKv(
  engine: FakeDeviceEngine,
  terms: SlotsTerms,
  more: Partial<DeviceKvOptions> = {},
): Promise<DeviceKv> {
  const shape = more.shape ?? PAGED;
  const bytes = (terms.slots * Math.ceil(shape.kv.capacity / shape.pageTokens) + RESERVED_PAGES) * pageBytes(shape);
  return DeviceKv.create(engine, { ...terms, shape, bytes, releaseId: RELEASE, poolId: 'p-1', ...more });
}

/** Everything that the pools hold. */
export async function bytesOf({ pools }: DeviceKv): Promise<Buffer[]> {
  const { layers, width } = pools.shape.kv;
  const [keys, values] = [0, 1].map(() => Array.from({ length: layers }, () => floatsOf(pools.rows * width, 0)));
  await pools.read(0, keys!, values!);
  return [...keys!, ...values!].map(({ buffer }) => Buffer.from(buffer));
}

function floatsOf(count: number, value: number): Float32Array<ArrayBuffer> {
  return new Float32Array(count).fill(value);
}

function hasPerson(bytes: Buffer, person: string): boolean {
  return bytes.includes(Buffer.from(person, 'hex'));
}

function hasTwo(bytes: Buffer, value: number): boolean {
  return bytes.includes(Buffer.from(Float32Array.of(value, value).buffer));
}
