import {
  connect,
  EventResult_Status,
  KvSource,
  type OnepassClient,
  OnepassError,
  type PageItem,
  user,
} from '@onepass/client';
import { statusCode } from '@onepass/contracts';
import type { Habits, MeasuredPage } from '../../page.js';
import { personId } from '../../people.js';
import type { SentCall } from './seen.js';
import type { ActionsSeen } from './sender.js';
import type { TraceActions, TraceEvent, TraceJoin, TracePage } from './trace-events.js';

/** What the people of a trace ask for and do, in the names of a release. */
export interface ReplayContent {
  /** Unlike that of any earlier replay on the same histories: ids of events and newcomers hold it. */
  readonly runId: string;
  readonly page: MeasuredPage;
  /** Those whose histories are there already; others are newcomers. */
  readonly people: number;
  readonly habits: Habits;
  /** What people act on elsewhere, and bring. */
  readonly itemIds: readonly string[];
  /** For pages of search; empty where the release embeds no text. */
  readonly queries: readonly string[];
}

export interface ReplayTerms {
  readonly address: string;
  readonly connections: number;
  /** In flight, of all kinds of calls: one more is not sent, and counts as an error. */
  readonly maxInFlight: number;
  readonly content: ReplayContent;
}

export type ActionCounts = { -readonly [K in keyof Omit<ActionsSeen, 'failed'>]: number } & {
  failed: Record<string, number>;
};

interface About {
  readonly surface?: string;
  readonly context?:
    | { case: 'search'; value: { query: { case: 'text'; value: string } } }
    | { case: 'related'; value: { itemIds: string[] } };
}

/** A timer may fire up to a millisecond late: half of that is taken off ahead. What goes out early counts from when it did. */
const EARLY_MS = 0.5;
/** As ghz's. */
const TIMEOUT_MS = 20_000;
const MINUTE_MS = 60_000;
const EVENTS_A_CALL = 1_000;
/** Every so many-th action is a seldom one. */
const SELDOM = 8;

/** Sends a trace at its own times, whether or not what was sent before is answered. */
export class Replay {
  readonly actions: ActionCounts = { sent: 0, acknowledged: 0, refused: 0, misplaced: 0, failed: {} };
  readonly #terms: ReplayTerms;
  readonly #clients: readonly OnepassClient[];
  readonly #seen: (call: SentCall) => void;
  /** Each person's last answered page. */
  readonly #answers = new Map<
    number,
    { readonly page: number; readonly slateId: string; readonly items: readonly PageItem[] }
  >();
  readonly #inFlight = new Set<Promise<void>>();
  #pages = 0;
  #turn = 0;
  #events = 0;

  /** @param seen hears of every page when it has ended */
  constructor(terms: ReplayTerms, seen: (call: SentCall) => void) {
    this.#terms = terms;
    this.#clients = Array.from({ length: terms.connections }, () => connect(terms.address));
    this.#seen = seen;
  }

  /** Opens every connection by a page of nobody in particular. Whether it is answered is none of its business. */
  async connect(): Promise<void> {
    const { page } = this.#terms.content;
    const options = { deadlineMs: Date.now() + TIMEOUT_MS };
    await Promise.allSettled(this.#clients.map((client) => client.recommend(page, options)));
  }

  /** Resolves when all is sent and answered. @param beganMs epoch ms of the trace's 0 */
  async run(trace: readonly TraceEvent[], beganMs: number): Promise<void> {
    let next = 0;
    await new Promise<void>((resolve) => {
      const turn = () => {
        for (; next < trace.length && beganMs + trace[next]!.atMs <= now() + EARLY_MS; next += 1) {
          this.#send(trace[next]!, beganMs + trace[next]!.atMs);
        }
        if (next === trace.length) resolve();
        else setTimeout(turn, beganMs + trace[next]!.atMs - now() - EARLY_MS);
      };
      turn();
    });
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  #send(event: TraceEvent, intendedMs: number): void {
    const page = event.kind === 'page' ? this.#pages++ : undefined;
    if (this.#inFlight.size >= this.#terms.maxInFlight) {
      if (event.kind === 'page') this.#unsent(intendedMs);
      else count(this.actions.failed, 'NOT_SENT');
      return;
    }
    const sent =
      page === undefined
        ? this.#act(event as TraceActions | TraceJoin)
        : this.#ask(event as TracePage, page, intendedMs);
    this.#inFlight.add(sent);
    sent.finally(() => this.#inFlight.delete(sent));
  }

  #unsent(intendedMs: number): void {
    const atMs = now();
    this.#seen({ intendedMs, sentMs: atMs, endedMs: atMs, status: 'NOT_SENT', degraded: false });
  }

  async #ask(event: TracePage, page: number, meantMs: number): Promise<void> {
    const sentMs = now();
    const intendedMs = Math.min(meantMs, sentMs);
    const request = { person: user(this.#person(event.person)), ...this.#terms.content.page, ...this.#about(event) };
    try {
      const answer = await this.#client().recommend(request, { deadlineMs: Date.now() + TIMEOUT_MS });
      const { degraded, kvSource, items, slateId } = answer;
      const kv = kvSource === KvSource.UNSPECIFIED ? 'none' : KvSource[kvSource].toLowerCase();
      this.#seen({ intendedMs, sentMs, endedMs: now(), status: 'OK', degraded: degraded.length > 0, kv });
      this.#answers.set(event.person, { page, slateId, items });
    } catch (error) {
      this.#seen({ intendedMs, sentMs, endedMs: now(), status: statusOf(error), degraded: false });
    }
  }

  /** What the request says of its surface, where it is not the plain one. */
  #about({ surface, person, about }: TracePage): About {
    const { itemIds, queries } = this.#terms.content;
    if (surface === 'search') {
      return { surface, context: { case: 'search', value: { query: { case: 'text', value: pick(queries, about) } } } };
    }
    if (surface === 'plain') return {};
    const shown = this.#answers.get(person)?.items ?? [];
    const itemId = shown.length > 0 ? pick(shown, about).itemId : pick(itemIds, about);
    return { surface, context: { case: 'related', value: { itemIds: [itemId] } } };
  }

  async #act(event: TraceActions | TraceJoin): Promise<void> {
    const events = event.kind === 'join' ? this.#history(event) : this.#done(event);
    const person = user(this.#person(event.person));
    for (let from = 0; from < events.length; from += EVENTS_A_CALL) {
      const part = events.slice(from, from + EVENTS_A_CALL);
      this.actions.sent += part.length;
      try {
        const { results } = await this.#client().logActions(
          { person, events: part },
          { deadlineMs: Date.now() + TIMEOUT_MS },
        );
        const refused = results.filter(({ status }) => status === EventResult_Status.REFUSED).length;
        this.actions.refused += refused;
        this.actions.acknowledged += results.length - refused;
      } catch (error) {
        count(this.actions.failed, statusOf(error), part.length);
      }
    }
  }

  #done({ person, page, positions, elsewhere }: TraceActions) {
    const { itemIds } = this.#terms.content;
    const answer = this.#answers.get(person);
    const shown = answer?.page === page ? answer : undefined;
    const onPage = positions.map((position) => {
      const item = shown?.items[position];
      if (item !== undefined) return this.#event(item.itemId, { slateId: shown!.slateId, position: item.position });
      this.actions.misplaced += 1;
      return this.#event(pick(itemIds, (position + 0.5) / this.#terms.content.page.pageSize));
    });
    return [...onPage, ...elsewhere.map((which) => this.#event(pick(itemIds, which)))];
  }

  /** Two minutes from action to action, until an hour ago. */
  #history({ actions, person }: TraceJoin) {
    const { itemIds } = this.#terms.content;
    const last = Date.now() - 60 * MINUTE_MS;
    return Array.from({ length: actions }, (_, i) =>
      // Golden steps: well spread, without a generator.
      this.#event(pick(itemIds, ((person + i) * 0.6180339887) % 1), {
        timeMs: BigInt(last - 2 * (actions - i) * MINUTE_MS),
      }),
    );
  }

  #event<T extends object>(itemId: string, more?: T) {
    const { runId, habits } = this.#terms.content;
    const number = this.#events++;
    const actions = [...(number % SELDOM === SELDOM - 1 ? habits.seldom : habits.usual)];
    return { eventId: `${runId}-${number}`, itemId, actions, surface: habits.surface, ...more };
  }

  /** Newcomers are new in every run. */
  #person(person: number): string {
    const { content } = this.#terms;
    return person < content.people ? personId(person) : `${personId(person)}-${content.runId}`;
  }

  #client(): OnepassClient {
    this.#turn += 1;
    return this.#clients[this.#turn % this.#clients.length]!;
  }
}

/** Epoch ms with fractions. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

function statusOf(error: unknown): string {
  return statusCode(OnepassError.from(error).kind);
}

function pick<T>(from: readonly T[], which: number): T {
  return from[Math.floor(which * from.length)]!;
}

function count(counts: Record<string, number>, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}
