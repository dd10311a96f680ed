export type { Visit } from './eviction-order.js';
export { KV_POOL_FILE, type KvShape, type KvTensors, kvBytes, kvShape, pagesOf, poolBytes } from './layout.js';
export * from './reader.js';
export * from './reference.js';
export { type CheckedPool, checkGeneration, checkReference } from './reference-check.js';
export * from './slot-book.js';
export { type SlotContent, SlotHeaders } from './slot-header.js';
export * from './slot-tenancies.js';
export * from './writer.js';
