/** One page as it was served, by Onepass or (foreign) by somebody else. */
export interface Slate {
  /** Unique; a slate that is recorded twice is kept once. */
  readonly slateId: string;
  /** Person key; undefined for nobody in particular. */
  readonly person: string | undefined;
  readonly surface: string;
  /** The request's "now", epoch ms. */
  readonly timeMs: number;
  /** The history it was made from; of a foreign slate, the history when it was logged. */
  readonly historySequence: number;
  readonly historyHash: bigint;
  /** Empty for a foreign slate. */
  readonly releaseId: string;
  readonly foreign: boolean;
  /** Only one of these is set: what the request was about. */
  readonly relatedItemIds: readonly string[];
  readonly queryText: string | undefined;
  /** float32, in the release's item space. */
  readonly queryEmbedding: Float32Array | undefined;
  /** The request's, by name. */
  readonly features: Readonly<Record<string, number>>;
  /** The actions that `probabilities` are in the order of; empty for a page without ranking. */
  readonly actions: readonly string[];
  /** Names of the contract's Degraded.Reason, such as ENCODER: what was skipped or replaced when the page was made. */
  readonly degraded: readonly string[];
  readonly items: readonly SlateItem[];
}

export interface SlateItem {
  readonly itemId: string;
  /** From 0 over all pages of one token chain. */
  readonly position: number;
  /** Kept as float32, as the probabilities are. */
  readonly utility: number;
  /** One per action of the slate. */
  readonly probabilities: readonly number[];
}

/** What became of an item of a slate, as the frontend tells it. */
export interface SlateOutcome {
  readonly itemId: string;
  readonly position: number;
  readonly visible: boolean;
  readonly actions: readonly string[];
}

export interface LoggedSlate extends Slate {
  /** Those told last of each item, in page order. */
  readonly outcomes: readonly SlateOutcome[];
}

/**
 * Slates by person. Every method rejects with OnepassError `unavailable` when the store cannot be read or written.
 */
export interface SlateStore {
  /**
   * Keeps slates, those of one person in one transaction; resolves only when all are durable. After a rejection some may be
   * kept: recording them again is safe.
   */
  record(slates: readonly Slate[]): Promise<void>;
  get(person: string | undefined, slateId: string): Promise<LoggedSlate | undefined>;
  /** Resolves only when durable: false when there is no such slate. The newest outcome of an item and position counts. */
  addOutcomes(person: string | undefined, slateId: string, outcomes: readonly SlateOutcome[]): Promise<boolean>;
  /** All slates, each person's in order of time; consistent per person, and no more than one person's (or 1/256 of nobody's) held in memory. */
  all(): AsyncIterable<LoggedSlate>;
  /** Drops a person's slates and outcomes; resolves only when that is durable. */
  forget(person: string): Promise<void>;
  /** Drops slates older than `beforeMs`; answers how many. */
  prune(beforeMs: number): Promise<number>;
  close(): Promise<void>;
}
