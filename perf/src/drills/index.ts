import type { Drill } from './drill.js';

/** In the order in which they are run. */
export const DRILLS: readonly Drill[] = [];
