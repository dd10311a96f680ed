export * from './event.js';
export * from './lmdb-slates.js';
export * from './lmdb-store.js';
export * from './open-stores.js';
export { openRedisSlates } from './redis-slates.js';
export { openRedisHistory } from './redis-store.js';
export * from './settings.js';
export * from './slates.js';
export * from './store.js';
