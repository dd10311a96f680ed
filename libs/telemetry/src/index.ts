export * from './logger.js';
export * from './measurements.js';
