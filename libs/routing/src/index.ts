export * from './bounded-load.js';
export * from './person-key.js';
export * from './rendezvous.js';
