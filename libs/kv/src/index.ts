export { KV_POOL_FILE, type KvShape, type KvTensors, kvShape, poolBytes } from './layout.js';
export * from './reader.js';
export * from './reference.js';
export type { SlotContent } from './slot-header.js';
export * from './writer.js';
