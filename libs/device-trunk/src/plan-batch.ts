import { type Buckets, type EncodeSizes, encodeWork, hasColumns, type RankSizes, rankWork } from './buckets.js';

interface Asked {
  /** Whose past it is about: once in a run. */
  readonly person: string;
  /** Not to share a run: it was in one that failed. */
  readonly alone: boolean;
  /** What the run must do for it, without padding, in the units of `workOf`. */
  readonly work: number;
}

export interface AskedEncode extends Asked {
  readonly kind: 'encode';
  /** With b = 1; rows that are to be overwritten behind its own ones included. */
  readonly sizes: EncodeSizes;
  /** Tokens held before. */
  readonly held: number;
}

export interface AskedRank extends Asked {
  readonly kind: 'rank';
  /** With b = s = 1. */
  readonly sizes: RankSizes;
  /** Which tokens of the person are meant: only asks of the same past can be slates of one entry. */
  readonly past: string;
}

/** One run: people in order of their turns, each with one encode, or with as many slates as they have asks. */
export type Batch<A extends AskedEncode | AskedRank> =
  | { readonly kind: 'encode'; readonly sizes: EncodeSizes; readonly entries: readonly (readonly [A])[] }
  | { readonly kind: 'rank'; readonly sizes: RankSizes; readonly entries: readonly (readonly A[])[] };

export interface PlanRules<A> {
  readonly buckets: Buckets;
  /** Whether it may run now: no other encode of the person is under way. */
  isFree(ask: A): boolean;
  /** Whether a run of these sizes can be had, as far as is known. */
  allows(kind: 'encode' | 'rank', sizes: EncodeSizes | RankSizes): boolean;
}

/**
 * The next run: who is first in turn and free, and whoever of those behind them fits into the same run: the same graph, another person (or, to rank,
 * another slate on the same past of a person: DCAT, the past is gathered once), and no more padding than the buckets allow. So nobody who could have
 * had a place is passed over by somebody behind them, and who is first is never passed over.
 * @param asks in the order of turns
 */
export function planBatch<A extends AskedEncode | AskedRank>(
  asks: Iterable<A>,
  rules: PlanRules<A>,
): Batch<A> | undefined {
  let draft: Draft<A> | undefined;
  for (const ask of asks) {
    if (!rules.isFree(ask)) continue;
    if (draft === undefined) draft = new Draft(ask, rules.buckets);
    else if (!ask.alone) draft.join(ask);
    if (draft.isFull) break;
  }
  return draft?.settle(rules);
}

interface Extent {
  readonly people: number;
  /** Most of one person. */
  readonly slates: number;
  readonly g: number;
  /** Most tokens that one of those to encode holds before. */
  readonly held: number;
  /** m, or c and k. */
  readonly rows: readonly number[];
  readonly work: number;
}

class Draft<A extends AskedEncode | AskedRank> {
  readonly #buckets: Buckets;
  readonly #kind: A['kind'];
  /** In the order in which they joined. */
  readonly #asks: A[];
  #entries: A[][];
  #padding: number;

  constructor(first: A, buckets: Buckets) {
    this.#buckets = buckets;
    this.#kind = first.kind;
    this.#asks = [first];
    this.#entries = [[first]];
    this.#padding = this.#paddingOf(extentOf(this.#entries));
  }

  get isFull(): boolean {
    const { people, slates } = this.#buckets.options;
    return this.#asks[0]!.alone || this.#asks.length >= (this.#kind === 'encode' ? people : slates);
  }

  join(ask: A): void {
    if (ask.kind !== this.#kind || (ask.sizes.g === 0) !== (this.#asks[0]!.sizes.g === 0)) return;
    if (this.#asks.some((other) => other.person === ask.person && !isSamePast(other, ask))) return;
    const entries = entriesOf([...this.#asks, ask]);
    const extent = extentOf(entries);
    if (!this.#holds(extent)) return;
    const padding = this.#paddingOf(extent);
    if (padding > Math.max(this.#buckets.options.padding, this.#padding)) return;
    this.#asks.push(ask);
    this.#entries = entries;
    this.#padding = padding;
  }

  /** Rounded up to a number of people that has a bucket; where that is too much padding, or is not to be had, without those who joined last. */
  settle({ buckets, allows }: PlanRules<A>): Batch<A> {
    for (let count = this.#asks.length; ; count--) {
      const entries = entriesOf(this.#asks.slice(0, count));
      const extent = extentOf(entries);
      const sizes = this.#sizes(extent);
      const isExact = sizes.b === entries.length;
      const isLittle = 1 - extent.work / this.#work(sizes) <= buckets.options.padding;
      if (count === 1 || ((isExact || isLittle) && allows(this.#kind, sizes)))
        return { kind: this.#kind, sizes, entries } as Batch<A>;
    }
  }

  #holds(extent: Extent): boolean {
    const { people, slates, held } = extent;
    const { options, shape } = this.#buckets;
    if (people > options.people) return false;
    if (this.#kind === 'encode') return hasColumns(shape, this.#sizes(extent) as EncodeSizes, held);
    const { b, s } = this.#buckets.rank({ b: people, s: slates, g: 1, c: 1, k: 1 });
    return slates <= options.slates && b * s <= options.slates;
  }

  /** As if there were a bucket of every number of people: those who come next may fill it. */
  #paddingOf(extent: Extent): number {
    return 1 - extent.work / this.#work({ ...this.#sizes(extent), b: extent.people });
  }

  #sizes({ people, slates, g, held, rows: [first, second] }: Extent): EncodeSizes | RankSizes {
    if (this.#kind === 'encode') return this.#buckets.encode({ b: people, g, m: first! }, held);
    return this.#buckets.rank({ b: people, s: slates, g, c: first!, k: second! });
  }

  #work(sizes: EncodeSizes | RankSizes): number {
    const { shape } = this.#buckets;
    return 'm' in sizes ? encodeWork(shape, sizes) : rankWork(shape, sizes);
  }
}

function isSamePast(one: AskedEncode | AskedRank, other: AskedEncode | AskedRank): boolean {
  return one.kind === 'rank' && other.kind === 'rank' && one.past === other.past;
}

/** By person, in the order in which they came. */
function entriesOf<A extends { readonly person: string }>(asks: readonly A[]): A[][] {
  const entries = new Map<string, A[]>();
  for (const ask of asks) {
    const entry = entries.get(ask.person);
    if (entry) entry.push(ask);
    else entries.set(ask.person, [ask]);
  }
  return [...entries.values()];
}

function extentOf(entries: readonly (readonly (AskedEncode | AskedRank)[])[]): Extent {
  const asks = entries.flat();
  const most = (of: (ask: AskedEncode | AskedRank) => number) => Math.max(...asks.map(of));
  return {
    people: entries.length,
    slates: Math.max(...entries.map((entry) => entry.length)),
    g: most(({ sizes }) => sizes.g),
    held: most((ask) => ('held' in ask ? ask.held : 0)),
    rows: [most(({ sizes }) => ('m' in sizes ? sizes.m : sizes.c)), most(({ sizes }) => ('k' in sizes ? sizes.k : 0))],
    work: asks.reduce((sum, { work }) => sum + work, 0),
  };
}
