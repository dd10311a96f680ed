export * from './person-key.js';
export * from './rendezvous.js';
