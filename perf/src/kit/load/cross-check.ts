import { median } from '../../statistics.js';
import type { LoadTarget } from './observe.js';
import { type LoadOptions, replayPlain, type SentLoad, sendLoad } from './send-load.js';

/** The same pages at the same rate, sent by both in turns. */
export interface CrossCheck {
  readonly qps: number;
  readonly ghz: readonly SentLoad[];
  readonly replayer: readonly SentLoad[];
}

/** Turns of each: a machine is not equally fast all the time. */
const TURNS = 3;

/**
 * Offers plain pages of person after person at an even rate to one server, with ghz and with the replayer in turns: two programs of
 * different make that see the same thing are hardly both wrong. The replayer cannot time its sends as finely, and holds what that
 * costs in its latencies.
 * @throws OnepassError as sendLoad does
 */
export async function crossCheck(qps: number, target: LoadTarget, options: LoadOptions): Promise<CrossCheck> {
  const rate = Math.max(1, Math.round(qps));
  const ghz: SentLoad[] = [];
  const replayer: SentLoad[] = [];
  for (let turn = 0; turn < TURNS; turn += 1) {
    ghz.push(await sendLoad({ kind: 'open', qps: rate }, target, options));
    replayer.push(await replayPlain(rate, target, options));
  }
  return { qps: rate, ghz, replayer };
}

/** Of the larger to the smaller median, or that many ms: how finely sends are timed makes no more. */
const AGREEMENT = { factor: 1.25, ms: 2 };

type Outcome = 'agree' | 'disagree' | 'noise';

/** In medians over the turns. They disagree where the medians do and what each saw has nothing in common either. */
function outcomeOf(a: readonly number[], b: readonly number[]): Outcome {
  const [low, high] = [median(a), median(b)].sort((x, y) => x - y) as [number, number];
  if (high - low <= AGREEMENT.ms || high <= AGREEMENT.factor * low) return 'agree';
  const overlap = Math.min(...a) <= Math.max(...b) && Math.min(...b) <= Math.max(...a);
  return overlap ? 'noise' : 'disagree';
}

const PERCENTILES = ['p50', 'p90'] as const;
const SAID: Readonly<Record<Outcome, string>> = {
  agree: 'They agree.',
  disagree: 'THEY DISAGREE: latencies of traces and of open loops are not to be compared.',
  noise: 'Turns of one sender differ as much as the two do: the machine was too noisy to tell whether they agree.',
};

/** What came of it, with both figures, in two sentences. */
export function describeCrossCheck({ qps, ghz, replayer }: CrossCheck): string {
  const seen = (loads: readonly SentLoad[], of: 'p50' | 'p90') => loads.map((load) => load.seen.latencyMs[of]);
  const told = (loads: readonly SentLoad[]) =>
    PERCENTILES.map((of) => `${of} ${median(seen(loads, of)).toFixed(1)} ms`).join(' and ');
  const outcomes = PERCENTILES.map((of) => outcomeOf(seen(ghz, of), seen(replayer, of)));
  const worst = (['disagree', 'noise'] as const).find((outcome) => outcomes.includes(outcome)) ?? 'agree';
  return `Of the same ${qps} pages a second to A ghz saw ${told(ghz)}, the replayer ${told(replayer)} (medians of ${ghz.length} turns). ${SAID[worst]}`;
}
