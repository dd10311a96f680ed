import { personKey } from '@onepass/routing';
import type { TraceEvent } from '../../kit/load/index.js';
import { personId } from '../../people.js';
import { percentile } from '../../statistics.js';
import type { PersonHistory } from './cell.js';
import type { SimClock } from './clock.js';
import type { PageSeen, SimMesh } from './mesh.js';

/** One page of a simulated load; times since its beginning, in ms. */
export interface SeenAt extends PageSeen {
  readonly atMs: number;
}

/** The people of several loads on one mesh, and their histories. */
export class SimPeople {
  readonly #histories = new Map<string, PersonHistory>();
  readonly #length: number;

  /** @param length actions in everybody's history before anything happens */
  constructor(length: number) {
    this.#length = length;
  }

  /** @param id as the gateway is told it */
  of(id: string, begun = this.#length): { readonly person: string; readonly history: PersonHistory } {
    const person = personKey({ id: { case: 'userId', value: id } })!;
    const history = this.#histories.get(person) ?? { sequence: begun };
    this.#histories.set(person, history);
    return { person, history };
  }
}

export interface ReplayTerms {
  readonly clock: SimClock;
  readonly mesh: SimMesh;
  readonly people: SimPeople;
  /** Persons below this have their histories; others are newcomers of this load. */
  readonly known: number;
  /** Tells this load's newcomers from those of others. */
  readonly load: number;
}

/** Sends a trace to a simulated mesh, at its times from now on, and lets everything come to its end. */
export async function replayTrace(
  trace: readonly TraceEvent[],
  { clock, mesh, people, known, load }: ReplayTerms,
): Promise<SeenAt[]> {
  const beganMs = clock.now();
  const seen: SeenAt[] = [];
  const who = (person: number) =>
    person < known ? people.of(personId(person)) : people.of(`${personId(person)}-${load}`, 0);
  for (const event of trace) {
    clock.at(beganMs + event.atMs, () => {
      const one = who(event.person);
      if (event.kind === 'page') {
        void mesh.page(one).then((page) => seen.push({ ...page, atMs: event.atMs }));
      } else {
        const events = event.kind === 'join' ? event.actions : event.positions.length + event.elsewhere.length;
        void mesh.actions(one.history, events);
      }
    });
  }
  await clock.run();
  return seen;
}

/** What is told of a load, simulated or real. */
export interface Told {
  readonly pages: number;
  /** Of those that were encoded, the share whose KV was held. */
  readonly held: number;
  /** Of whole pages, in ms. NaN of none. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Shares of all pages. */
  readonly refused: number;
  readonly late: number;
}

/** Pages that were sent from `fromMs` to before `toMs`. */
export function toldOf(seen: readonly SeenAt[], { fromMs, toMs }: { fromMs: number; toMs: number }): Told {
  const pages = seen.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const whole = pages.filter(({ outcome }) => outcome === 'whole').map(({ ms }) => ms);
  const encoded = pages.filter(({ kind }) => kind !== undefined);
  const share = (outcome: PageSeen['outcome']) =>
    pages.filter((page) => page.outcome === outcome).length / Math.max(1, pages.length);
  return {
    pages: pages.length,
    held: encoded.filter(({ kind }) => kind !== 'encode').length / Math.max(1, encoded.length),
    p50Ms: percentile(whole, 0.5),
    p99Ms: percentile(whole, 0.99),
    refused: share('refused'),
    late: share('late'),
  };
}
