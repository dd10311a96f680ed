import type { LoadTarget } from './observe.js';
import { type LoadOptions, replayPlain, type SentLoad, sendLoad } from './send-load.js';

/** The same pages at the same rate, sent by both. */
export interface CrossCheck {
  readonly qps: number;
  readonly ghz: SentLoad;
  readonly replayer: SentLoad;
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
  return { qps: rate, ghz, replayer };
}

/** Within this factor of each other, or this near, in ms: what is beyond it is no matter of how finely sends are timed. */
const AGREEMENT = { factor: 1.25, ms: 2 };

/** Whether both saw the same latencies, and answered all pages alike. */
export function doAgree({ ghz, replayer }: Pick<CrossCheck, 'ghz' | 'replayer'>): boolean {
  const alike = ([a, b]: readonly [number, number]) =>
    Math.abs(a - b) <= AGREEMENT.ms || Math.max(a, b) <= AGREEMENT.factor * Math.min(a, b);
  const latencies = (['p50', 'p90'] as const).map(
    (of) => [ghz.seen.latencyMs[of], replayer.seen.latencyMs[of]] as const,
  );
  const goodShares = [ghz, replayer].map(({ seen }) => seen.good / seen.calls);
  return latencies.every(alike) && Math.abs(goodShares[0]! - goodShares[1]!) <= 0.02;
}

/** A sentence with both figures. */
export function describeCrossCheck(check: CrossCheck): string {
  const told = ({ seen }: SentLoad) =>
    `p50 ${seen.latencyMs.p50.toFixed(1)} ms, p90 ${seen.latencyMs.p90.toFixed(1)} ms, ${seen.good} of ${seen.calls} pages whole`;
  const outcome = doAgree(check)
    ? 'they agree'
    : 'THEY DISAGREE, so that latencies of traces and of open loops are not to be compared';
  return `The same ${check.qps} pages a second to A from both senders: ghz saw ${told(check.ghz)}; the replayer ${told(check.replayer)}: ${outcome}.`;
}
