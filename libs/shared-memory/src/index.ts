export * from './mapped-memory.js';
export { koffi } from './native.js';
export * from './shared-memory.js';
