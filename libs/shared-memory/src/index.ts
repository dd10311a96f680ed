export * from './mapped-memory.js';
export { koffi, koffiPath, libc } from './native.js';
export * from './shared-memory.js';
