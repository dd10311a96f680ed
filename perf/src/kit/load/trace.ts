import { seededRandom } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { drawGapWithin, exponential } from './gaps.js';
import { actionsOf, positionChances } from './trace-actions.js';
import type { TraceEvent, TraceJoin, TracePage, TraceParameters } from './trace-events.js';
import { Visitors } from './visitors.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** A page must be answered before its person acts on it: thinking is not pressed below this. */
const LEAST_THINK_MS = 500;
/** Nobody asks for two pages within this. */
const LEAST_GAP_MS = 150;
/** Between a newcomer's history and first page. */
const JOIN_LEAD_MS = 400;

/**
 * What is usual, a day pressed into `dayMs`: gaps between sessions and the horizon shrink with it, thinking not below half a second.
 */
export function usualTrace(dayMs = 60_000): Omit<TraceParameters, 'seed' | 'durationMs' | 'qps' | 'people'> {
  const pressed = (ms: number) => (ms * dayMs) / DAY_MS;
  return {
    returning: 0.75,
    horizonMs: pressed(4 * HOUR_MS),
    pagesPerSession: 3,
    think: { medianMs: Math.max(LEAST_THINK_MS, pressed(40_000)), sigma: 0.8 },
    away: { medianMs: pressed(10 * HOUR_MS), sigma: 1.6 },
    actionsPerPage: 1,
    pageSize: 20,
    positionBias: 0.8,
    joining: 0.1,
    historyLength: 64,
    skew: 0.7,
    surfaces: { related: 0.1, search: 0.05 },
    rhythm: { periodMs: dayMs, swing: 0.25 },
  };
}

/**
 * Everything that people do, by time.
 * @throws OnepassError `startup` naming the parameter that cannot be met
 */
export function makeTrace(parameters: TraceParameters): TraceEvent[] {
  check(parameters);
  const { pages, joins } = makePages(parameters);
  const random = seededRandom(parameters.seed + 0x5eed);
  const chances = positionChances(parameters);
  const next = nextPages(pages);
  const actions = pages.flatMap((page, number) =>
    actionsOf(page, number, next[number], { parameters, chances, random }),
  );
  // Stable: of two at one time, the history goes before the page.
  return [...joins, ...pages, ...actions].sort((a, b) => a.atMs - b.atMs);
}

/** People whose histories must be there for a trace: enough in any case, more than come in a long one. */
export function peopleNeeded(
  parameters: Pick<TraceParameters, 'qps' | 'durationMs' | 'returning' | 'joining' | 'rhythm'>,
): number {
  const { qps, durationMs, returning, joining, rhythm } = parameters;
  // At first nobody is there to return, and newcomers have to bring their histories.
  const ownMs = (1 - joining) * ((1 - returning) * durationMs + 4 * LEAST_GAP_MS) + JOIN_LEAD_MS;
  const expected = (qps * (1 + rhythm.swing) * ownMs) / 1000;
  // Chance may bring more than the mean.
  return Math.ceil(expected + 5 * Math.sqrt(expected + 1));
}

/** Whose its pages are, in their order. Without newcomers (`joining` 0) all of them are people whose histories are there. */
export function visitsOf(trace: readonly TraceEvent[]): number[] {
  return trace.flatMap((event) => (event.kind === 'page' ? [event.person] : []));
}

/** The same page asked for by person after person at even times, as ghz does it. */
export function plainTrace({
  durationMs,
  qps,
  people,
}: Pick<TraceParameters, 'durationMs' | 'qps' | 'people'>): TracePage[] {
  return Array.from({ length: Math.floor((durationMs * qps) / 1000) }, (_, i) => ({
    kind: 'page',
    atMs: ((i + 1) * 1000) / qps,
    person: i % people,
    session: i,
    surface: 'plain',
    about: 0,
  }));
}

function check({ qps, people, returning, durationMs, horizonMs, pagesPerSession, surfaces }: TraceParameters): void {
  const wrong = (name: string, is: string) => startupError(`a trace's ${name} must be ${is}`);
  if (!(qps > 0)) throw wrong('qps', 'above 0');
  if (!(people >= 1)) throw wrong('people', 'at least 1');
  if (!(durationMs > 0)) throw wrong('durationMs', 'above 0');
  if (!(horizonMs > LEAST_GAP_MS)) throw wrong('horizonMs', `above ${LEAST_GAP_MS}`);
  if (!(returning >= 0 && returning < 1)) throw wrong('returning', 'at least 0 and below 1');
  if (!(pagesPerSession >= 1)) throw wrong('pagesPerSession', 'at least 1');
  if (!(surfaces.related + surfaces.search <= 1)) throw wrong('surfaces', 'shares that do not add up to more than 1');
}

function makePages(parameters: TraceParameters): { pages: TracePage[]; joins: TraceJoin[] } {
  const random = seededRandom(parameters.seed);
  const visits = new Visits(parameters, random);
  const { qps, durationMs, rhythm, surfaces } = parameters;
  const most = (qps / 1000) * (1 + rhythm.swing);
  const pages: TracePage[] = [];
  for (let atMs = exponential(random) / most; atMs < durationMs; atMs += exponential(random) / most) {
    const rate = (qps / 1000) * (1 + rhythm.swing * Math.sin((2 * Math.PI * atMs) / rhythm.periodMs));
    if (random() * most >= rate) continue;
    const drawn = random();
    const surface =
      drawn < surfaces.related ? 'related' : drawn < surfaces.related + surfaces.search ? 'search' : 'plain';
    pages.push({ kind: 'page', atMs, ...visits.next(atMs), surface, about: random() });
  }
  return { pages, joins: visits.joins };
}

/** Draws for each page whose it is. */
class Visits {
  readonly joins: TraceJoin[] = [];
  readonly #parameters: TraceParameters;
  readonly #random: () => number;
  readonly #visitors: Visitors;
  readonly #sessions = new Map<number, number>();
  #newcomers = 0;
  #session = 0;

  constructor(parameters: TraceParameters, random: () => number) {
    this.#parameters = parameters;
    this.#random = random;
    this.#visitors = new Visitors(parameters.people, parameters.skew, random);
  }

  next(atMs: number): { person: number; session: number } {
    const { person, goesOn } = this.#who(atMs);
    this.#visitors.came(person, atMs);
    if (!goesOn) {
      this.#sessions.set(person, this.#session);
      this.#session += 1;
    }
    return { person, session: this.#sessions.get(person)! };
  }

  #who(atMs: number): { person: number; goesOn: boolean } {
    const { returning, pagesPerSession, horizonMs, think, away } = this.#parameters;
    const drawn = this.#random();
    const goesOn = drawn < Math.min(returning, 1 - 1 / pagesPerSession);
    if (drawn < returning) {
      const between = Math.min(4 * think.medianMs, horizonMs / 2);
      const gap = goesOn
        ? drawGapWithin(think, LEAST_GAP_MS, horizonMs, this.#random)
        : drawGapWithin(away, between, horizonMs, this.#random);
      const person = this.#visitors.takeNear(atMs - gap, atMs - horizonMs, atMs - LEAST_GAP_MS);
      if (person !== undefined) return { person, goesOn };
    }
    return { person: this.#joins(atMs) ?? this.#afterLong(atMs), goesOn: false };
  }

  #joins(atMs: number): number | undefined {
    const { joining, people, historyLength } = this.#parameters;
    if (atMs < JOIN_LEAD_MS || this.#random() >= joining) return undefined;
    const person = people + this.#newcomers;
    this.#newcomers += 1;
    this.joins.push({ kind: 'join', atMs: atMs - JOIN_LEAD_MS, person, actions: historyLength });
    return person;
  }

  /** Somebody who was not there within the horizon. */
  #afterLong(atMs: number): number {
    const { away, horizonMs, people, returning, qps } = this.#parameters;
    const lastMs = atMs - drawGapWithin(away, horizonMs, Number.POSITIVE_INFINITY, this.#random);
    const gone = () => this.#visitors.takeNear(lastMs, Number.NEGATIVE_INFINITY, atMs - horizonMs);
    // Whoever would have been there last before the trace began has not come yet.
    const person = lastMs > 0 ? (gone() ?? this.#visitors.takeUnseen()) : (this.#visitors.takeUnseen() ?? gone());
    if (person !== undefined) return person;
    throw startupError(
      `a trace of ${qps} pages a second, ${returning} of them by people back within ${(horizonMs / 1000).toFixed(1)} s, needs more than ${people} people`,
    );
  }
}

/** When the person of each page has another one; undefined: never. */
function nextPages(pages: readonly TracePage[]): (number | undefined)[] {
  const next = new Map<number, number>();
  const times: (number | undefined)[] = [];
  for (let i = pages.length - 1; i >= 0; i -= 1) {
    const { person, atMs } = pages[i]!;
    times[i] = next.get(person);
    next.set(person, atMs);
  }
  return times;
}
