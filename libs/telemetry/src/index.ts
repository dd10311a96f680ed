export * from './graph-run.js';
export * from './logger.js';
export * from './measurements.js';
export * from './process-measurements.js';
export * from './schema.js';
export * from './tracing.js';
