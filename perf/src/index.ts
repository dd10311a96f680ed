export * from './bench.js';
export * from './drills/run-drills.js';
export * from './ghz.js';
