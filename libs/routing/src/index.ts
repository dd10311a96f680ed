export * from './bounded-load.js';
export * from './cell-life.js';
export * from './cell-list.js';
export * from './person-key.js';
export * from './rendezvous.js';
