import type { EncodeAsk } from './encode-ask.js';
import type { EncodeCall } from './slot-hold.js';
import type { StageClock } from './stage-clock.js';

/** One request on its way. */
export interface Work {
  readonly ask: EncodeAsk;
  readonly call: EncodeCall;
  readonly stages: StageClock;
}
