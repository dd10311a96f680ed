export { exposition, prometheusName } from './exposition.js';
export * from './graph-run.js';
export * from './logger.js';
export * from './measurements.js';
export { rarely } from './rarely.js';
export * from './schema/index.js';
export * from './telemetry.js';
export * from './tracing.js';
