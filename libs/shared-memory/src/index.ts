export { koffi } from './native.js';
export * from './shared-memory.js';
