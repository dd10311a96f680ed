export * from './errors.js';
export * from './exit-codes.js';
