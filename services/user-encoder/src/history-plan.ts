import type { HistoryEvent, HistoryHead, HistoryStore } from '@onepass/history';
import { type KnownWorld, type PastToken, pastTokens } from '@onepass/tokens';
import { type PersonState, SeenItems } from './person-state.js';

/** What is to be encoded so that a person's KV is the history's. `next` is what holds once that is done. */
export type HistoryPlan =
  /** No token at all. */
  | { readonly kind: 'empty'; readonly next: PersonState }
  /** The slot has every token. */
  | { readonly kind: 'keep'; readonly next: PersonState }
  /** The slot's tokens, then these; or these from the first position on. `previousMs`: time of the token before them. */
  | {
      readonly kind: 'append' | 'encode';
      readonly tokens: readonly PastToken[];
      readonly previousMs: number | undefined;
      readonly next: PersonState;
    };

/** What is held of a person; `length` is the slot's tokens, undefined without a slot. */
export interface Held {
  readonly state: PersonState;
  readonly length: number | undefined;
}

export interface PlanLimits {
  /** Most tokens in a slot. */
  readonly window: number;
  readonly world: KnownWorld;
}

/** A window that is full is encoded anew at this share of it, so that appending goes on for the rest. */
const SHORTENED = 3 / 4;
/** Events that one read of a long history takes, and reads at most: tokens further back than that are not looked for. */
const PAGE = 512;
const MAX_PAGES = 16;

/** The tokens of a window: all of them, or the newest three quarters of the window when there are more than fit. */
export function windowLength(tokens: number, window: number): number {
  return tokens <= window ? tokens : Math.max(1, Math.floor(window * SHORTENED));
}

/**
 * Reads no more of the history than what is new.
 * @param head as read just now
 * @throws OnepassError `unavailable` when the history cannot be read.
 */
export async function planHistory(
  history: HistoryStore,
  person: string,
  { head, held }: { readonly head: HistoryHead; readonly held: Held | undefined },
  limits: PlanLimits,
): Promise<HistoryPlan> {
  const behind = held === undefined ? Number.POSITIVE_INFINITY : head.sequence - held.state.head.sequence;
  if (held === undefined || behind < 0 || behind > limits.window) {
    return encodeLatest(history, person, undefined, limits);
  }
  if (behind > 0) return followTail(history, person, held, limits);
  if (head.hash !== held.state.head.hash) return encodeLatest(history, person, undefined, limits);
  if (held.state.lastMs === undefined) return { kind: 'empty', next: held.state };
  if (held.length !== undefined) return { kind: 'keep', next: held.state };
  return encodeLatest(history, person, held.state, limits);
}

/** Goes on from what is held, unless the tail does not continue it or takes back some of it. */
async function followTail(
  history: HistoryStore,
  person: string,
  { state, length }: Held,
  limits: PlanLimits,
): Promise<HistoryPlan> {
  const { window, world } = limits;
  const tail = await history.tail(person, state.head.sequence, window);
  const reachesHead = tail.events.at(-1)?.sequence === tail.head.sequence;
  const takesBack = tail.events.some((e) => e.retracts !== undefined && e.retracts <= state.head.sequence);
  if (tail.afterHash !== state.head.hash || !reachesHead || takesBack) {
    return encodeLatest(history, person, undefined, limits);
  }
  const added = tail.events.filter((e) => e.operation === 'add' && !e.retracted);
  for (const { itemId } of added) if (itemId !== undefined) state.seen.add(itemId);
  const tokens = pastTokens(world, added);
  const next = { head: tail.head, lastMs: tokens.at(-1)?.timeMs ?? state.lastMs, seen: state.seen };
  if (next.lastMs === undefined) return { kind: 'empty', next };
  if (state.lastMs === undefined) return { kind: 'encode', tokens, previousMs: undefined, next };
  if (length === undefined || length + tokens.length > window) return encodeLatest(history, person, next, limits);
  return tokens.length === 0 ? { kind: 'keep', next } : { kind: 'append', tokens, previousMs: state.lastMs, next };
}

/** The newest tokens of the whole history. The items seen are read too, unless `known` is of the same moment. */
async function encodeLatest(
  history: HistoryStore,
  person: string,
  known: PersonState | undefined,
  { window, world }: PlanLimits,
): Promise<HistoryPlan> {
  // One more than the window: the first token's previous.
  const { head, tokens } = await latestTokens(history, person, window + 1, world);
  // Read after the tokens, so that nothing acted on is missing: too many for a moment is harmless.
  const seen =
    known !== undefined && known.head.hash === head.hash && known.head.sequence === head.sequence
      ? known.seen
      : new SeenItems((await history.actedItemIds(person)).itemIds);
  const next = { head, lastMs: tokens.at(-1)?.timeMs, seen };
  if (tokens.length === 0) return { kind: 'empty', next };
  const length = windowLength(tokens.length, window);
  return { kind: 'encode', tokens: tokens.slice(-length), previousMs: tokens.at(-length - 1)?.timeMs, next };
}

async function latestTokens(history: HistoryStore, person: string, wanted: number, world: KnownWorld) {
  let before: number | undefined;
  let head: HistoryHead | undefined;
  let tokens: PastToken[] = [];
  for (let page = 0; page < MAX_PAGES && tokens.length < wanted; page++) {
    // Most histories are known to the release as a whole, and then one page of just what is wanted does.
    const count = page === 0 ? wanted : PAGE;
    const read: { head: HistoryHead; events: readonly HistoryEvent[] } = await history.latest(person, count, before);
    head ??= read.head;
    tokens = [...pastTokens(world, read.events), ...tokens];
    before = read.events[0]?.sequence;
    if (before === undefined || read.events.length < count) break;
  }
  return { head: head!, tokens: tokens.slice(-wanted) };
}
