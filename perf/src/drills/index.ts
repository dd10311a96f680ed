import { cancellation } from './cancellation.js';
import { cells } from './cells.js';
import { certificates } from './certificates.js';
import type { Drill } from './drill.js';
import { durability } from './durability.js';
import { fuzz } from './fuzz.js';
import { kv } from './kv/kv.js';
import { overload } from './overload.js';
import { recovery } from './recovery.js';
import { trace } from './trace.js';
import { tracingCost } from './tracing-cost.js';
import { warmTier } from './warm-tier.js';
import { wrongScores } from './wrong-scores.js';

/** In the order in which they are run. */
export const DRILLS: readonly Drill[] = [
  overload,
  cancellation,
  durability,
  certificates,
  trace,
  tracingCost,
  recovery,
  cells,
  wrongScores,
  warmTier,
  kv,
  fuzz,
];
