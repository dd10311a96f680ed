export * from './device-kv.js';
export * from './device-pools.js';
