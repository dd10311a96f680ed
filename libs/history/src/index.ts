export * from './event.js';
export * from './lmdb-store.js';
export * from './store.js';
