export * from './bench.js';
export * from './ghz.js';
