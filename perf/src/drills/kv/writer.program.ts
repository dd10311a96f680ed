import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { seededRandom } from '@onepass/contracts';
import { KV_POOL_FILE, KvPoolWriter, poolBytes, type SlotState } from '@onepass/kv';
import { createSharedMemory } from '@onepass/shared-memory';
import { Bulletin } from './boards.js';
import { POOL, personKeyOf, poolIdOf, stampOf, writeTokens } from './scored-pool.js';

// The writer of the drill's pool: it does what a user-encoder does, as fast as it can, until its parent goes or it is killed.
// Its folder, and the number of its run among the writers of this pool. Whatever the parent says, it means: linger in the next append.
const [folder = '', runText = ''] = process.argv.slice(2);
const run = Number(runText);
const { shape, slots, people, releaseId, restMs } = POOL;

const BATCH = 200;
/** In the middle of an append, for whoever wants to kill it there. */
const LINGER_MS = 50;
/** Encodes that are under way at one time, at most: their slots are leased. */
const MOST_IN_WORK = 6;
/** Visits by the same few people come often, so that some are protected from eviction. */
const REGULARS = people / 20;

const random = seededRandom(1_000 + run);
const below = (most: number) => Math.floor(random() * most);
const wait = new Int32Array(new SharedArrayBuffer(4));

const memory = createSharedMemory(join(folder, KV_POOL_FILE), poolBytes(shape, slots), POOL.bytes);
const writer = KvPoolWriter.create(memory, {
  ...{ shape, slots, releaseId, restMs },
  bytes: POOL.bytes,
  poolId: poolIdOf(run),
  now: () => performance.now(),
});
const bulletin = Bulletin.create(folder, run);
/** Allocated and not yet published, and the tokens that each is for. */
const inWork: { state: SlotState; tokens: number }[] = [];
let operations = 0;
let shallLinger = false;

/** Short ones mostly, as histories are; some full. */
const drawLength = () => Math.min(shape.capacity, 1 + Math.floor(-60 * Math.log(1 - random())));
const personOf = ({ personKey }: SlotState) => Number.parseInt(personKey, 16);
const stampFor = (state: SlotState) => stampOf({ run, person: personOf(state), generation: Number(state.generation) });

function publish(state: SlotState, length: number): void {
  writer.publish(state, { length, sequence: length, hash: BigInt(length) });
  bulletin.post(writer.reference(state), personOf(state));
  operations++;
}

function append(state: SlotState): void {
  const length = Math.min(shape.capacity, state.length + 1 + below(40));
  writer.lease(state);
  try {
    operations++;
    if (writer.grow(state, length) !== undefined) return;
    const half = (state.length + length) >> 1;
    const stamp = stampFor(state);
    writeTokens(writer.tensors(state), stamp, state.length, half);
    if (shallLinger) {
      shallLinger = false;
      bulletin.isAppending = true;
      Atomics.wait(wait, 0, 0, LINGER_MS);
      bulletin.isAppending = false;
    }
    writeTokens(writer.tensors(state), stamp, half, length);
    publish(state, length);
  } finally {
    writer.release(state);
  }
}

function begin(person: string): void {
  const tokens = drawLength();
  const state = writer.allocate(person, tokens, random() < 0.1 ? 'scan' : 'person');
  operations++;
  if (typeof state !== 'string') inWork.push({ state, tokens });
}

/** Fills and publishes what was allocated some time ago, or gives it up, unless its person has been retired meanwhile. */
function finish(): void {
  const { state, tokens } = inWork.shift()!;
  const stamp = stampFor(state);
  const isGivenUp = random() < 0.05;
  writeTokens(writer.tensors(state), stamp, 0, tokens);
  if (!isGivenUp && !retiredInWork.delete(state)) publish(state, tokens);
  writer.release(state);
  operations++;
}
const retiredInWork = new Set<SlotState>();

function turn(): void {
  const number = random() < 0.3 ? below(REGULARS) : below(people);
  const person = personKeyOf(number);
  // One person's work does not overlap.
  const own = inWork.find(({ state }) => state.personKey === person);
  const drawn = random();
  if (own !== undefined) {
    if (drawn < 0.5) return;
    writer.retire(person);
    retiredInWork.add(own.state);
    operations++;
    return;
  }
  const held = writer.lookup(person);
  operations++;
  if (held === undefined || drawn < 0.1) begin(person);
  else if (drawn < 0.13) writer.retire(person);
  else if (drawn < 0.16) writer.forget(person);
  else if (drawn < 0.7 && held.length < shape.capacity) append(held);
  if (inWork.length > below(MOST_IN_WORK)) finish();
}

process.on('message', () => {
  shallLinger = true;
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
for (;;) {
  for (let i = 0; i < BATCH; i++) turn();
  const { refusals, evictions } = writer.stats();
  bulletin.tell(operations, refusals, evictions);
  await setImmediate();
}
