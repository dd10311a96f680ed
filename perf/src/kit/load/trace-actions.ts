import { drawGap, drawPoisson } from './gaps.js';
import type { TraceActions, TracePage, TraceParameters } from './trace-events.js';

/** Of a page's items, at most this share is acted upon; what people do beyond that, they do elsewhere. */
const MOST_OF_PAGE = 0.5;

/** Probability by position that an item is acted upon. They add up to `actionsPerPage`, or to half of the page if that is less. */
export function positionChances({ actionsPerPage, pageSize, positionBias }: TraceParameters): number[] {
  const weights = Array.from({ length: pageSize }, (_, i) => (i + 1) ** -positionBias);
  const wanted = Math.min(actionsPerPage, MOST_OF_PAGE * pageSize);
  const sum = (scale: number) => weights.reduce((total, weight) => total + Math.min(1, scale * weight), 0);
  let [low, high] = [0, wanted * pageSize ** positionBias];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (sum(middle) < wanted) low = middle;
    else high = middle;
  }
  return weights.map((weight) => Math.min(1, high * weight));
}

interface Terms {
  readonly parameters: TraceParameters;
  readonly chances: readonly number[];
  readonly random: () => number;
}

/**
 * What the person of a page does before the next one; nothing, often.
 * @param nextMs the person's next page; undefined: none follows
 */
export function actionsOf(
  page: TracePage,
  number: number,
  nextMs: number | undefined,
  { parameters, chances, random }: Terms,
): TraceActions[] {
  const { actionsPerPage, pageSize, think, durationMs } = parameters;
  const positions = chances.flatMap((chance, position) => (random() < chance ? [position] : []));
  const others = drawPoisson(Math.max(0, actionsPerPage - MOST_OF_PAGE * pageSize), random);
  const elsewhere = Array.from({ length: others }, random);
  const untilNext = (0.5 + 0.4 * random()) * ((nextMs ?? Number.POSITIVE_INFINITY) - page.atMs);
  const atMs = page.atMs + Math.min(untilNext, 0.5 * drawGap(think, random));
  if (positions.length + others === 0 || atMs >= durationMs) return [];
  return [{ kind: 'actions', atMs, person: page.person, page: number, positions, elsewhere }];
}
