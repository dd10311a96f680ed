export * from './admission.js';
export * from './concurrency-limit.js';
export * from './priority.js';
export * from './retry-budget.js';
export * from './usual-options.js';
export * from './waiting-line.js';
