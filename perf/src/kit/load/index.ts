export { type CoreSplit, pinning, pinProcess, splitCores } from './cores.js';
export { crossCheck, describeCrossCheck } from './cross-check.js';
export { ensureGhz, GHZ_VERSION, type Ghz } from './ensure-ghz.js';
export { type DescribedService, gatewayTarget, measurementsAt } from './gateway-target.js';
export type { LoadTarget } from './observe.js';
export { type LoadOptions, type SentLoad, sendLoad, type TraceTerms, traceOf } from './send-load.js';
export { makeTrace, peopleNeeded, usualTrace, visitsOf } from './trace.js';
export type { TraceEvent, TraceParameters } from './trace-events.js';
