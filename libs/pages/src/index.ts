export * from './budgets.js';
export * from './diversity.js';
export * from './features.js';
export * from './fields.js';
export * from './page-token.js';
export * from './select-page.js';
export * from './slate-id.js';
export * from './utility.js';
