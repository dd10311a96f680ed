import { quoted, type Violations } from './fields.js';

/** At most `maximum` items of one value of `attribute` in any `window` consecutive positions, over all pages of a chain. */
export interface DiversityWindow {
  readonly attribute: string;
  readonly window: number;
  readonly maximum: number;
}

/** Values of one attribute of one candidate; several for a list-valued attribute, none for a missing one. */
export type ValuesOf = (candidate: number, attribute: string) => readonly string[];

/** Values of the positions before a page, by attribute; the last position at the end. */
export type RecentValues = ReadonlyMap<string, readonly (readonly string[])[]>;

export const NOTHING_RECENT: RecentValues = new Map();
export const DIVERSITY_WINDOWS = 8;

/** @param attributes names that the release's items have */
export function checkDiversity(
  windows: readonly DiversityWindow[],
  attributes: readonly string[],
  violations: Violations,
): void {
  violations.count('diversity.windows', windows.length, { minimum: 0, maximum: DIVERSITY_WINDOWS });
  for (const [i, { attribute, window, maximum }] of windows.entries()) {
    const field = `diversity.windows[${i}]`;
    if (!attributes.includes(attribute)) {
      violations.add(`${field}.attribute`, `${quoted(attribute)} is not an attribute of the release's items`);
    }
    if (window < 1) violations.add(`${field}.window`, 'must be at least 1');
    if (maximum < 1) violations.add(`${field}.maximum`, 'must be at least 1');
  }
}

/**
 * Takes up to `size` candidates in the given order, passing over one that would break a window where it would stand; it may
 * stand further down. Greedy, so that the best item leads. The rule holds exactly: when nothing left fits, the page ends.
 * @param recent of the pages before, which the windows look back into
 */
export function diversify(order: readonly number[], size: number, { windows, recent, valuesOf }: Diversity): number[] {
  const page: number[] = [];
  const waiting = [...order];
  const before = new Positions({ windows, recent, valuesOf });
  while (page.length < size) {
    const at = waiting.findIndex((candidate) => before.fullFor(candidate) === undefined);
    if (at < 0) break;
    const [candidate] = waiting.splice(at, 1) as [number];
    page.push(candidate);
    before.add(candidate);
  }
  return page;
}

export interface Diversity {
  readonly windows: readonly DiversityWindow[];
  readonly recent: RecentValues;
  readonly valuesOf: ValuesOf;
}

/** A window that would hold too many items of a value. */
export interface FullWindow {
  readonly window: number;
  readonly value: string;
}

/**
 * For each of those candidates that `diversify` passed over: the window that was full where it could have stood last.
 * @param page as `diversify` made it of `order`; `size` as it was asked for
 */
export function fullWindows(
  order: readonly number[],
  page: readonly number[],
  size: number,
  diversity: Diversity,
): Map<number, FullWindow> {
  const ranks = new Map(order.map((candidate, rank) => [candidate, rank]));
  const onPage = new Set(page);
  const full = new Map<number, FullWindow>();
  const before = new Positions(diversity);
  // Where the page ends early, everything left was tried for the next place.
  for (let place = 0; place < Math.min(size, page.length + 1); place++) {
    const taken = page[place];
    const tried = order.slice(0, taken === undefined ? order.length : ranks.get(taken));
    for (const candidate of tried) {
      if (!onPage.has(candidate)) full.set(candidate, before.fullFor(candidate) as FullWindow);
    }
    if (taken !== undefined) before.add(taken);
  }
  return full;
}

/** The positions before the next one, as far as each window looks back. */
class Positions {
  readonly #windows: readonly LookBack[];
  readonly #valuesOf: ValuesOf;

  constructor({ windows, recent, valuesOf }: Diversity) {
    this.#windows = windows.map((rule) => new LookBack(rule, recent.get(rule.attribute) ?? []));
    this.#valuesOf = valuesOf;
  }

  /** The first window that has no room for the candidate. */
  fullFor(candidate: number): FullWindow | undefined {
    for (const [window, lookBack] of this.#windows.entries()) {
      const value = this.#valuesOf(candidate, lookBack.rule.attribute).find((v) => lookBack.isFull(v));
      if (value !== undefined) return { window, value };
    }
    return undefined;
  }

  add(candidate: number): void {
    for (const lookBack of this.#windows) lookBack.add(this.#valuesOf(candidate, lookBack.rule.attribute));
  }
}

/** How many of the last `window - 1` positions hold each value. */
class LookBack {
  readonly rule: DiversityWindow;
  readonly #positions: ReadonlySet<string>[] = [];
  readonly #counts = new Map<string, number>();

  constructor(rule: DiversityWindow, recent: readonly (readonly string[])[]) {
    this.rule = rule;
    for (const values of recent) this.add(values);
  }

  isFull(value: string): boolean {
    return (this.#counts.get(value) ?? 0) >= this.rule.maximum;
  }

  add(values: readonly string[]): void {
    const distinct = new Set(values);
    this.#positions.push(distinct);
    this.#count(distinct, 1);
    if (this.#positions.length >= this.rule.window) this.#count(this.#positions.shift() as ReadonlySet<string>, -1);
  }

  #count(values: ReadonlySet<string>, change: number): void {
    for (const value of values) this.#counts.set(value, (this.#counts.get(value) ?? 0) + change);
  }
}

/** What the next page must know of this one and those before it; nothing that its windows do not look back to. */
export function recentValues(page: readonly number[], { windows, recent, valuesOf }: Diversity): RecentValues {
  const next = new Map<string, readonly (readonly string[])[]>();
  for (const [attribute, length] of lookBacks(windows)) {
    const values = [...(recent.get(attribute) ?? []), ...page.map((candidate) => valuesOf(candidate, attribute))];
    next.set(attribute, values.slice(Math.max(0, values.length - length)));
  }
  return next;
}

/** Attributes whose windows look back further than `recent` knows. @param position of the page's first item */
export function unknownBefore(windows: readonly DiversityWindow[], recent: RecentValues, position: number): string[] {
  const known = (attribute: string) => recent.get(attribute)?.length ?? 0;
  return [...lookBacks(windows)].flatMap(([attribute, length]) =>
    known(attribute) < Math.min(length, position) ? [attribute] : [],
  );
}

/** By attribute: how many positions its longest window looks back. */
function lookBacks(windows: readonly DiversityWindow[]): Map<string, number> {
  const longest = new Map<string, number>();
  for (const { attribute, window } of windows) {
    longest.set(attribute, Math.max(window - 1, longest.get(attribute) ?? 0));
  }
  return longest;
}
