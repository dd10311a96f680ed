import { cancellation } from './cancellation.js';
import { certificates } from './certificates.js';
import type { Drill } from './drill.js';
import { durability } from './durability.js';
import { overload } from './overload.js';
import { trace } from './trace.js';
import { tracingCost } from './tracing-cost.js';

/** In the order in which they are run. */
export const DRILLS: readonly Drill[] = [overload, cancellation, durability, certificates, trace, tracingCost];
