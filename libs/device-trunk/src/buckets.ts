/** Sizes of one run of a graph, by the names of its dimensions (docs/device-graphs.md). */
export interface EncodeSizes {
  /** People. */
  readonly b: number;
  /** Pages of each; 0 = people without a past: a graph of its own, which gathers nothing. */
  readonly g: number;
  /** New rows of each. */
  readonly m: number;
}

export interface RankSizes {
  readonly b: number;
  readonly g: number;
  /** Slates of each person. */
  readonly s: number;
  /** Context rows of each slate. */
  readonly c: number;
  /** Candidates of each slate. */
  readonly k: number;
}

/** What of a model and its requests decides which sizes can come. */
export interface BucketShape {
  readonly width: number;
  readonly pageTokens: number;
  /** Most tokens of one person: the window, and the context rows of an encode behind it. */
  readonly capacity: number;
  readonly contextRows: number;
  /** Most candidates of a slate. */
  readonly candidates: number;
  /** How many a slate usually has: they have a bucket without padding. */
  readonly usualCandidates?: number | undefined;
  /** Whether there is a graph for people without a past. */
  readonly prefill: boolean;
}

export interface BucketOptions {
  /** Most people, and most slates of all of them, in one run. */
  readonly people: number;
  readonly slates: number;
  /** Share of a run's work that may be padding; context rows, and what is smaller than an axis' least bucket, are not counted. */
  readonly padding: number;
  /** Most buckets of both graphs together: where there would be more, padding may be more, up to ladders of few steps. */
  readonly most: number;
}

export const USUAL_BUCKETS: BucketOptions = { people: 8, slates: 8, padding: 0.4, most: 2048 };

/** Fewer candidates than this cost a run what this many do: it is launches that take the time. */
const LEAST_CANDIDATES = 16;
/** However little columns cost beside rows, their gather reads and writes all of them. */
const MOST_OF_COLUMNS = 0.75;
/** Padding allowed in a step of relaxing. */
const STEP = 0.05;

/**
 * Which sizes runs have: every dimension is rounded up to one of a few, so that runs repeat and can be prepared (and captured) once. Candidates and
 * rows are what work grows with; columns, the past, only with their part of it: with W numbers a row, a row's matrices cost as much as 6 W columns of
 * attention (24 W^2 against 4 W multiplications and additions a column and layer), so that pages may be rounded much more coarsely than rows.
 */
export class Buckets {
  readonly shape: BucketShape;
  readonly options: BucketOptions;
  /** Share of a run of one person and one slate that may be padding, at most. */
  readonly padding: number;
  readonly people: readonly number[];
  readonly slates: readonly number[];
  readonly pages: readonly number[];
  /** Of an encode: one more, with columns for the rows of padding behind a full slot. */
  readonly encodePages: readonly number[];
  readonly rows: readonly number[];
  readonly contexts: readonly number[];
  readonly candidates: readonly number[];

  constructor(shape: BucketShape, options: BucketOptions = USUAL_BUCKETS) {
    this.shape = shape;
    this.options = options;
    this.people = doubling(options.people);
    this.slates = doubling(options.slates);
    let padding = options.padding;
    let axes = axesOf(shape, padding);
    while (this.#count(axes) > options.most && padding < 1 - STEP) {
      padding += STEP;
      axes = axesOf(shape, padding);
    }
    this.padding = padding;
    this.pages = axes.pages;
    this.encodePages = axes.encodePages;
    this.rows = axes.rows;
    this.contexts = axes.contexts;
    this.candidates = axes.candidates;
  }

  /**
   * @param needs what is asked for, within the shape
   * @param held most tokens that one of them holds before
   */
  encode({ b, g, m }: EncodeSizes, held = 0): EncodeSizes {
    const rows = roundUp(this.rows, m);
    const pages = Math.max(g, Math.ceil((held + rows) / this.shape.pageTokens));
    return { b: roundUp(this.people, b), g: g === 0 ? 0 : roundUp(this.encodePages, pages), m: rows };
  }

  rank({ b, g, s, c, k }: RankSizes): RankSizes {
    return {
      b: roundUp(this.people, b),
      g: roundUp(this.pages, g),
      s: roundUp(this.slates, s),
      c: roundUp(this.contexts, c),
      k: roundUp(this.candidates, k),
    };
  }

  /** Every bucket that there is. */
  list(): { readonly encode: readonly EncodeSizes[]; readonly rank: readonly RankSizes[] } {
    const { people, pages, encodePages, rows, slates, contexts, candidates } = this;
    const held = this.shape.prefill ? [0, ...encodePages] : encodePages;
    const encode = people.flatMap((b) => held.flatMap((g) => rows.map((m) => ({ b, g, m }))));
    const rank = people.flatMap((b) =>
      slates
        .filter((s) => b * s <= this.options.slates)
        .flatMap((s) => pages.flatMap((g) => contexts.flatMap((c) => candidates.map((k) => ({ b, g, s, c, k }))))),
    );
    return { encode, rank };
  }

  /**
   * Runs that repeat, to be warmed up at start: whole windows encoded, one token appended, and all candidates on a whole window ranked, of every number
   * of people.
   */
  usual(): (EncodeSizes | RankSizes)[] {
    const { capacity, contextRows, candidates, pageTokens, prefill } = this.shape;
    const window = capacity - contextRows;
    const g = Math.ceil(window / pageTokens);
    return this.people.flatMap((b) => [
      this.encode({ b, g: prefill ? 0 : g, m: window }),
      this.encode({ b, g: Math.ceil((window + 1) / pageTokens), m: 1 }, window),
      this.rank({ b, g, s: 1, c: 1, k: candidates }),
    ]);
  }

  /** For people to read. */
  describe(): string {
    const { encode, rank } = this.list();
    const line = (name: string, values: readonly number[]) => `  ${name.padEnd(22)}${values.join(' ')}`;
    return [
      `${encode.length} buckets of encode and ${rank.length} of rank; of a run for one at most ${Math.round(this.padding * 100)} % is padding`,
      line('people', this.people),
      line(`pages of ${this.shape.pageTokens} tokens`, this.pages),
      line('pages of an encode', this.encodePages),
      line('new rows', this.rows),
      line('slates of a person', this.slates),
      line('context rows', this.contexts),
      line('candidates', this.candidates),
    ].join('\n');
  }

  #count({ pages, encodePages, rows, contexts, candidates }: Axes): number {
    const { slates, people } = this;
    const pairs = people.flatMap((b) => slates.filter((s) => b * s <= this.options.slates)).length;
    const held = encodePages.length + Number(this.shape.prefill);
    return people.length * held * rows.length + pairs * pages.length * contexts.length * candidates.length;
  }
}

/** Work of `rows` rows that each see `columns`: in rows x columns of attention, matrices included (24 W^2 and 4 W a column, per layer and row). */
export function workOf({ width }: Pick<BucketShape, 'width'>, rows: number, columns: number): number {
  return rows * (6 * width + columns);
}

/** Of a run of these sizes, its padding included. */
export function encodeWork(shape: BucketShape, { b, g, m }: EncodeSizes): number {
  return b * workOf(shape, m, g === 0 ? m : g * shape.pageTokens);
}

export function rankWork(shape: BucketShape, { b, g, s, c, k }: RankSizes): number {
  return b * s * workOf(shape, c + k, g * shape.pageTokens + c);
}

/**
 * Whether there are columns for all rows behind so many tokens, the rows of padding too: operators that are told lengths count from the last row backwards, and
 * on CUDA nobody says that it lies outside (docs/device-graphs.md).
 */
export function hasColumns(
  { pageTokens }: Pick<BucketShape, 'pageTokens'>,
  { g, m }: Pick<EncodeSizes, 'g' | 'm'>,
  held: number,
): boolean {
  return g === 0 ? held === 0 : held + m <= g * pageTokens;
}

interface Axes {
  readonly pages: readonly number[];
  readonly encodePages: readonly number[];
  readonly rows: readonly number[];
  readonly contexts: readonly number[];
  readonly candidates: readonly number[];
}

function axesOf(shape: BucketShape, padding: number): Axes {
  const { width, pageTokens, capacity, contextRows, candidates } = shape;
  const usual = Math.min(shape.usualCandidates ?? candidates, candidates);
  // Rows and columns share what may be padding; of the work of a row, columns are only this part.
  const each = 1 - Math.sqrt(1 - padding);
  const ofColumns = capacity / (6 * width + capacity);
  const most = Math.ceil(capacity / pageTokens);
  const window = capacity - contextRows;
  const pages = withStep(ladder(most, Math.min(MOST_OF_COLUMNS, each / ofColumns), 1), Math.ceil(window / pageTokens));
  // To the end of the last page: what another person left there is overwritten with the new rows.
  const rows = withStep([1, ...ladder(most * pageTokens, each, pageTokens)], window);
  // Most rows of padding that one ask can have behind a slot that is full with it.
  const padded = Math.max(0, ...rows.slice(1).map((step, i) => step - rows[i]! - 1));
  return {
    pages,
    encodePages: withStep(pages, most + Math.ceil(padded / pageTokens)),
    rows,
    contexts: contextRows === 1 ? [1] : [1, contextRows],
    candidates: withStep(ladder(candidates, each, Math.min(LEAST_CANDIDATES, candidates)), usual),
  };
}

/** What comes most has a bucket without padding. */
function withStep(steps: readonly number[], step: number): number[] {
  return [...new Set([...steps, Math.max(1, step)])].sort((a, b) => a - b);
}

/** From `least` to `most`, so that no more than `padding` of a bucket is more than what it is for. */
export function ladder(most: number, padding: number, least: number): number[] {
  const steps = [least];
  for (let last = least; last < most; steps.push(last)) {
    last = Math.min(most, Math.max(last + 1, Math.floor((last + 1) / (1 - padding))));
  }
  return steps;
}

function doubling(most: number): number[] {
  const steps: number[] = [];
  for (let size = 1; size < most; size *= 2) steps.push(size);
  return [...steps, most];
}

/** @param steps rising; the last one is large enough */
function roundUp(steps: readonly number[], need: number): number {
  return steps.find((step) => step >= need) ?? steps.at(-1)!;
}
