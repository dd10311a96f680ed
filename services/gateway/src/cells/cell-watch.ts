import type { Cell } from './cell.js';

export interface WatchTerms {
  /** Monotonic clock, in ms. */
  readonly now: () => number;
  /** How many cells are watched now: many are looked at less often. */
  readonly cells: () => number;
  /** After each look. */
  readonly looked: (cell: Cell) => void;
}

const TIMEOUT_MS = 1_000;
/** Between looks at a cell that serves: it may have been asked to drain. */
const CALM_MS = 1_000;
/** Between looks at one that was lost a moment ago: most come back soon. */
const SOON_MS = 250;
const SOON_FOR_MS = 10_000;
/** Health does not tell a cell of another release from one of ours: it would come back to fail again. */
const UNFIT_MS = 10_000;
/** Time for each cell that is watched, so that a gateway with hundreds of them does little else than now. */
const SHARE_MS = 10;

/**
 * Looks at a cell's health again and again: who is passed over comes back when all of it serves, and who says that it does not serve drains.
 * So no page is spent on finding out.
 * @returns ends it
 */
export function watchCell(cell: Cell, { now, cells, looked }: WatchTerms): () => void {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async () => {
    const seen = await cell.health(TIMEOUT_MS);
    if (stopped) return;
    const { life } = cell;
    const isAway = life.awayMs(now()) > 0;
    if (seen.every((health) => health === 'serving')) {
      cell.isUnfit = false;
      life.serves(now());
    } else if (seen.includes('unknown_service')) cell.told('encoder', 'unfit', 0);
    else if (seen.includes('unreachable')) cell.told('encoder', 'unreachable', 0);
    // One that begins says the same as one that ends: it is waited for.
    else if (seen.includes('not_serving') && !isAway) life.drain('cell', true, now());
    looked(cell);
    if (!stopped) timer = setTimeout(look, pauseMs()).unref();
  };
  const pauseMs = () => {
    const awayMs = cell.life.awayMs(now());
    const pause = cell.isUnfit ? UNFIT_MS : awayMs > 0 && awayMs < SOON_FOR_MS ? SOON_MS : CALM_MS;
    return Math.max(pause, cells() * SHARE_MS);
  };
  // One that is known to be away is new: it is waited for.
  timer = setTimeout(look, cell.life.awayMs(now()) > 0 ? 0 : CALM_MS).unref();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
