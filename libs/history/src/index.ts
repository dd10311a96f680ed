export * from './event.js';
export * from './lmdb-slates.js';
export * from './lmdb-store.js';
export * from './slates.js';
export * from './store.js';
