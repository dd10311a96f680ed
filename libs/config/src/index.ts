export * from './settings.js';
export * from './shared-settings.js';
