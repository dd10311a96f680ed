/**
 * What a cell is to whoever sends people there. Joining: it takes a growing share of its people, since none of their KV is there yet. Draining:
 * asked only where nobody else can be reached. Passed over: it could not be reached, and is asked last.
 */
export const CELL_STATES = ['joining', 'serving', 'draining', 'passed_over'] as const;
export type CellState = (typeof CELL_STATES)[number];

/** The processes of a cell: pages need both. */
export type CellPart = 'encoder' | 'ranking';

/** Who may ask a cell to drain: its operator, or the cell itself when it is being stopped. */
export type DrainAsker = 'operator' | 'cell';

export interface CellLifeOptions {
  /** How long a cell that joins takes until it has its whole share; 0 = at once. */
  readonly warmUpMs: number;
  /** Of a cell that was not there when its caller began: it is passed over until it was seen to serve, and then joins. */
  readonly isNew?: boolean;
  /** Of the KV that a cell of this name was last seen to hold; absent: none was. */
  readonly poolId?: string | undefined;
}

/** The share that a cell begins with when it joins, of what it will get. */
const FIRST_SHARE = 0.05;
/** Restarts take seconds: who was away for longer than this is taken to have lost its KV until an answer says otherwise. */
const LOST_AFTER_MS = 5_000;
/** So many calls in a row that end without an answer, over at least so long, are silence and not chance. */
const LATE_IN_A_ROW = 3;
const SILENT_MS = 250;
/** How long one that fell silent is held off at least, though it says that it serves; doubled each time that it falls silent again. */
const HOLD_MS = 500;
const LONGEST_HOLD_MS = 30_000;
/** A call that was given less time than this says nothing of who did not answer it. */
const FAIR_MS = 50;

/**
 * The life of one cell as one caller sees it. Pure: times come from the caller's monotonic clock, in ms, and never run backwards.
 * The pool's id decides whether KV was lost; how long the cell was away is only a guess until the first answer brings that id.
 */
export class CellLife {
  readonly #warmUpMs: number;
  readonly #asked = new Set<DrainAsker>();
  readonly #late: Record<CellPart, number> = { encoder: 0, ranking: 0 };
  readonly #answeredMs: Record<CellPart, number> = { encoder: 0, ranking: 0 };
  #poolId: string | undefined;
  /** Times that it fell silent since an answer was last seen of the process that did. */
  readonly #silences: Record<CellPart, number> = { encoder: 0, ranking: 0 };
  #heldUntilMs = -Infinity;
  /** Since when it is passed over; undefined: it is not. */
  #awaySinceMs: number | undefined;
  /** Since when it joins; undefined: it has its whole share. */
  #joinedMs: number | undefined;
  /** Whether it joins on suspicion: the pool that it had before would clear it. */
  #suspected = false;
  /** Its KV is gone: it joins once it takes people again. */
  #lost = false;
  /** Whoever was there before its caller, and begins later than it, has not lost what nobody was sent to. */
  #wasMet: boolean;

  constructor({ warmUpMs, isNew = false, poolId }: CellLifeOptions) {
    this.#warmUpMs = warmUpMs;
    this.#poolId = poolId;
    this.#wasMet = isNew;
    if (isNew) this.#awaySinceMs = -Infinity;
  }

  get poolId(): string | undefined {
    return this.#poolId;
  }

  stateAt(nowMs: number): CellState {
    if (this.#awaySinceMs !== undefined) return 'passed_over';
    if (this.#asked.size > 0) return 'draining';
    return this.weightAt(nowMs) < 1 ? 'joining' : 'serving';
  }

  /** The share of its people that it takes, above 0 and at most 1. */
  weightAt(nowMs: number): number {
    if (this.#joinedMs === undefined) return 1;
    const done = this.#warmUpMs === 0 ? 1 : (nowMs - this.#joinedMs) / this.#warmUpMs;
    if (done >= 1) this.#joinedMs = undefined;
    return FIRST_SHARE + (1 - FIRST_SHARE) * Math.max(0, Math.min(1, done));
  }

  /** For how long it has been passed over; 0: it is not. */
  awayMs(nowMs: number): number {
    return this.#awaySinceMs === undefined ? 0 : nowMs - this.#awaySinceMs;
  }

  /** A call could not be delivered, its connection was lost, or it was refused as none of the cell's. */
  unreachable(nowMs: number): void {
    this.#awaySinceMs ??= nowMs;
    this.#late.encoder = 0;
    this.#late.ranking = 0;
  }

  /** A call ended at its deadline. Several in a row with no answer in between, and the cell is passed over. */
  late(part: CellPart, tookMs: number, nowMs: number): void {
    if (tookMs < FAIR_MS) return;
    this.#late[part] += 1;
    if (this.#late[part] < LATE_IN_A_ROW || nowMs - this.#answeredMs[part] < SILENT_MS) return;
    this.#heldUntilMs = nowMs + Math.min(LONGEST_HOLD_MS, HOLD_MS * 2 ** this.#silences[part]);
    this.#silences[part] += 1;
    this.unreachable(nowMs);
  }

  /**
   * A call was answered, if only by a refusal. That alone brings nobody back who is passed over: one process of two may have answered.
   * @param poolId of the KV that the answer names; empty or absent: none
   */
  answered(part: CellPart, nowMs: number, poolId = ''): void {
    this.#late[part] = 0;
    this.#silences[part] = 0;
    this.#answeredMs[part] = nowMs;
    this.#wasMet = true;
    if (poolId === '') return;
    const before = this.#poolId;
    this.#poolId = poolId;
    if (poolId === before) {
      if (this.#suspected) this.#joinedMs = undefined;
      this.#lost = false;
    } else if (before !== undefined && !this.#joins(nowMs)) {
      this.#lost = true;
      this.#join(nowMs);
    }
    this.#suspected = false;
  }

  /** All of the cell's processes were seen to serve, or said so. */
  serves(nowMs: number): void {
    if (nowMs < this.#heldUntilMs) return;
    const awayMs = this.awayMs(nowMs);
    this.#awaySinceMs = undefined;
    if (awayMs >= LOST_AFTER_MS && this.#wasMet) {
      this.#lost = true;
      this.#suspected = this.#poolId !== undefined;
    }
    this.#wasMet = true;
    this.drain('cell', false, nowMs);
  }

  /** Repeating what was asked changes nothing. */
  drain(asker: DrainAsker, on: boolean, nowMs: number): void {
    if (on) this.#asked.add(asker);
    else this.#asked.delete(asker);
    this.#join(nowMs);
  }

  #joins(nowMs: number): boolean {
    return this.#joinedMs !== undefined && this.weightAt(nowMs) < 1;
  }

  /** Begins the warm-up of a cell without its KV, when it takes people. */
  #join(nowMs: number): void {
    if (!this.#lost || this.#awaySinceMs !== undefined || this.#asked.size > 0) return;
    this.#lost = false;
    this.#joinedMs = nowMs;
  }
}
