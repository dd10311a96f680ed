/**
 * Everything that a process of the mesh tells of itself: metrics and spans, with their names, units and attributes. Names of RPCs follow the
 * semantic conventions of OpenTelemetry, all others begin with `onepass.`. docs/telemetry.md is generated from this folder, and a test holds
 * what is emitted to it. Every attribute of a metric has a closed set of values; ids of people are in none of them.
 */
export { type Role, RPC_METHODS, type RpcMethod } from './methods.js';
export type { MetricSpec } from './metric-spec.js';
export * from './metrics.js';
export * from './spans.js';
