import type { LoadTarget } from './observe.js';
import { type LoadOptions, replayPlain, type SentLoad, sendLoad } from './send-load.js';

/** The same pages at the same rate, sent by both. */
export interface CrossCheck {
  readonly ghz: SentLoad;
  readonly replayer: SentLoad;
  /** Of the replayer's latency to ghz's: 1 = they agree. */
  readonly p50Ratio: number;
  readonly p90Ratio: number;
}

/**
 * Offers plain pages of person after person at an even rate to one server, with ghz and then with the replayer: two programs of
 * different make that see the same thing are hardly both wrong. The replayer cannot time its sends as finely, and holds what that
 * costs in its latencies.
 * @throws OnepassError as sendLoad does
 */
export async function crossCheck(qps: number, target: LoadTarget, options: LoadOptions): Promise<CrossCheck> {
  const rate = Math.max(1, Math.round(qps));
  const ghz = await sendLoad({ kind: 'open', qps: rate }, target, options);
  const replayer = await replayPlain(rate, target, options);
  const ratio = (of: 'p50' | 'p90') => replayer.seen.latencyMs[of] / ghz.seen.latencyMs[of];
  return { ghz, replayer, p50Ratio: ratio('p50'), p90Ratio: ratio('p90') };
}
