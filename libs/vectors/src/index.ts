export * from './build.js';
export * from './exact-search.js';
export * from './leaf.js';
export * from './probes.js';
export * from './segment.js';
export * from './top.js';
