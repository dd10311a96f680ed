export * from './layout.js';
export * from './past.js';
export * from './rows.js';
