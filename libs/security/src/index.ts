export * from './certificates.js';
export * from './guard.js';
export * from './identities.js';
export * from './policy.js';
export * from './policy-guard.js';
export * from './watch-files.js';
