export * from './float16.js';
export * from './int8.js';
export * from './wire.js';
