export * from './device-cell.js';
export * from './settings.js';
