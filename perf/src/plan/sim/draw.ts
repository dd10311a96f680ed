import { median } from '../../statistics.js';
import { type ActionTimes, ENCODE_KINDS, type EncodeKind, type PageTimes, type ServiceTimes } from './service-times.js';

/** Ways from thread to thread of a page: client, gateway, encoder, its graph and back, gateway, retrieval, and so on to the client. */
export const HOPS = 12;

/** What of a page's time cannot be seen in one row, but in all. */
export interface Pace {
  /** From one thread to another that sleeps, in ms. */
  readonly hopMs: number;
  /** That it takes longer under a load. */
  readonly wakeMs: number;
  /** Share of an event loop's CPU that comes behind what it has to tell. */
  readonly behind: number;
}

/**
 * CPU of all threads on a page's way, and ways between them, come to more than the page took by what was done behind an answer. Where they come to less,
 * ways take longer.
 */
export function paceOf({ hopMs, wakeMs, pages }: Pick<ServiceTimes, 'hopMs' | 'wakeMs' | 'pages'>): Pace {
  const loops = median(pages.map(loopsMs));
  // Of the page in the middle: a few that something else held up say nothing of ways.
  const beyond = median(pages.map((page) => loopsMs(page) + graphsMs(page) - page.wallMs)) + HOPS * hopMs;
  if (beyond < 0) return { hopMs: hopMs - beyond / HOPS, wakeMs, behind: 0 };
  return { hopMs, wakeMs, behind: Math.min(0.9, beyond / loops) };
}

export const loopsMs = ({ client, gateway, encoder, retrieval, ranking }: PageTimes) =>
  client + gateway + encoder + retrieval + ranking;
export const graphsMs = ({ encoderGraph, rankingGraph }: PageTimes) => encoderGraph + rankingGraph;

/** Of each kind, rows that encoded the same number of tokens together. */
type ByKind = Readonly<Record<EncodeKind, readonly (readonly PageTimes[])[]>>;

/** Draws whole rows as they were measured, so that what goes together stays together. */
export class ServiceDraw {
  readonly pace: Pace;
  readonly #pages: readonly PageTimes[];
  readonly #byKind: ByKind;
  readonly #actions: readonly (readonly ActionTimes[])[];
  readonly #random: () => number;

  constructor(times: ServiceTimes, random: () => number) {
    this.#random = random;
    this.#pages = times.pages;
    this.pace = paceOf(times);
    const ofKind = (kind: EncodeKind) =>
      grouped(
        times.pages.filter((page) => page.kind === kind),
        ({ tokens }) => tokens,
      );
    this.#byKind = Object.fromEntries(ENCODE_KINDS.map((kind) => [kind, ofKind(kind)])) as unknown as ByKind;
    this.#actions = grouped(times.actions, ({ events }) => events);
  }

  /** Of any page: what does not depend on what is encoded. */
  any(): PageTimes {
    return this.#of(this.#pages);
  }

  /** @param tokens that are encoded: of those measured the nearest number counts */
  page(kind: EncodeKind, tokens: number): PageTimes {
    return this.#of(nearest(this.#byKind[kind], tokens, (page) => page.tokens));
  }

  actions(events: number): ActionTimes {
    return this.#of(nearest(this.#actions, events, (one) => one.events));
  }

  #of<T>(rows: readonly T[]): T {
    return rows[Math.floor(this.#random() * rows.length)]!;
  }
}

function grouped<T>(rows: readonly T[], by: (row: T) => number): T[][] {
  const groups = new Map<number, T[]>();
  for (const row of rows) groups.set(by(row), [...(groups.get(by(row)) ?? []), row]);
  return [...groups.values()];
}

function nearest<T>(groups: readonly (readonly T[])[], wanted: number, of: (row: T) => number): readonly T[] {
  const far = (rows: readonly T[]) => Math.abs(of(rows[0]!) - wanted);
  return groups.reduce((best, rows) => (far(rows) < far(best) ? rows : best));
}
