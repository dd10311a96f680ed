export * from './logger.js';
export * from './measurements.js';
export * from './tracing.js';
