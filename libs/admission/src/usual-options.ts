import type { AdmissionOptions } from './admission.js';

/** Shares of a page's time: what it may take on average, and what it may wait for its turn. docs/decisions/010-admission.md has the figures. */
const TARGET = 0.2;
const PATIENCE = 0.2;
/** Pages in flight; where between these is found out. Even the least lets a stage that hangs be gone around on several pages at once. */
const PAGES = { initial: 32, minimum: 4, maximum: 256 };
const PAGES_WAITING = 256;

/** How a gateway admits pages. @param budgetMs time of a page */
export function pageAdmissionOptions(budgetMs: number): AdmissionOptions {
  const limit = { ...PAGES, targetMs: budgetMs * TARGET };
  return { limit, maxWaiting: PAGES_WAITING, patienceMs: budgetMs * PATIENCE };
}

/** For what a full group of bounded calls is told: when to try again. */
const USUAL_MS = 50;

/** At most so many calls, none of which waits: a bound that does not adapt. */
export function boundOptions(maximum: number): AdmissionOptions {
  const limit = { initial: maximum, minimum: maximum, maximum, targetMs: USUAL_MS };
  return { limit, maxWaiting: 0, patienceMs: 0 };
}

/** Far more than a stage can answer in a page's time; what waits inside is bounded, ordered and predicted by its own queue. */
export const STAGE_CALLS = 512;
