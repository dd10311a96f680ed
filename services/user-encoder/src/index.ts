export type { EncodeAsk } from './encode-ask.js';
export type { ServedModel } from './served-model.js';
export * from './settings.js';
export * from './start.js';
export * from './trunk.js';
