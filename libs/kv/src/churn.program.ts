// A writer that never rests: it allocates, appends to and retires slots as fast as it can, while another process reads them.
import { createSharedMemory } from '@onepass/shared-memory';
import { Board, CHURN, personOf, stampOf } from './churn.js';
import { KvPoolWriter, poolBytes, type SlotState } from './index.js';

const [poolPath = '', boardPath = ''] = process.argv.slice(2);
const { shape, slots, persons, releaseId, poolId } = CHURN;
const memory = createSharedMemory(poolPath, poolBytes(shape, slots));
const writer = KvPoolWriter.create(memory, { shape, slots, releaseId, poolId, restMs: 0, now: () => 0 });
const boardMemory = createSharedMemory(boardPath, 4096);
boardMemory.reserve(0, 4096);
const board = new Board(boardMemory.view(0, 4096));
process.send?.('ready');
process.on('disconnect', () => process.exit(0));

let seed = 1;
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % below;
}

function fill(state: SlotState, length: number): void {
  const { keys, values } = writer.tensors(state);
  const stamp = stampOf(state.personKey, state.generation);
  for (const tensor of [...keys, ...values]) tensor.fill(stamp, state.length * shape.width, length * shape.width);
  writer.publish(state, { length, sequence: length, hash: 0n });
  board.post(writer.reference(state));
}

function turn(): void {
  const person = personOf(random(persons));
  const held = writer.lookup(person);
  if (held && held.length < shape.capacity && random(4) > 0) {
    fill(held, held.length + 1);
  } else if (held && random(3) === 0) {
    writer.retire(person);
  } else {
    const state = writer.allocate(person, shape.capacity) as SlotState;
    fill(state, 1 + random(shape.capacity - 1));
    writer.release(state);
  }
}

// In batches, so that the end of the parent is noticed.
function batch(): void {
  for (let i = 0; i < 1000; i++) turn();
  setImmediate(batch);
}
batch();
