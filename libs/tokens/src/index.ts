export * from './layout.js';
export * from './past.js';
export * from './query-tokens.js';
export * from './rows.js';
