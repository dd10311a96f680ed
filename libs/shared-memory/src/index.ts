export * from './mapped-memory.js';
export { koffi, koffiPath, type LibraryHandle, libc, loadLibrary } from './native.js';
export * from './shared-memory.js';
