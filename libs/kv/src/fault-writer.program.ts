// A writer that is killed: it publishes tokens of one person, writes more of them behind without publishing, says so, and waits for its end.
import { createSharedMemory } from '@onepass/shared-memory';
import { ANN, FAULTS, sendable, writeTokens } from './fault-stamps.js';
import { KvPoolWriter, poolBytes } from './index.js';

const [path = '', poolId = '', published = '', written = ''] = process.argv.slice(2);
const { shape, slots, releaseId } = FAULTS;
const memory = createSharedMemory(path, poolBytes(shape, slots));
const now = () => performance.now();
const writer = KvPoolWriter.create(memory, { shape, slots, releaseId, poolId, restMs: 1_000, now });
const state = writer.allocate(ANN, shape.capacity);
if (typeof state === 'string') throw new Error(state);
const length = Number(published);
writeTokens(writer.tensors(state), 0, length);
writer.publish(state, { length, sequence: length, hash: 1n });
writeTokens(writer.tensors(state), length, Number(written));
process.send?.(sendable(writer.reference(state)));
process.on('disconnect', () => process.exit(0));
