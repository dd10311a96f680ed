import type { Violations } from './fields.js';

/** Share of the candidates that one outcome may bring. */
export interface Budget {
  readonly outcome: string;
  readonly share: number;
  /** How far ahead the outcome is looked for, in ms. */
  readonly offsetMs: number;
}

/** Each budget is one query embedding and, unless merged with another, one search of every shard; encoder and retrieval take as many. */
export const BUDGETS = 32;
/** The time features of the model say nothing beyond a year. */
export const OFFSET_MS = 366 * 86_400_000;

/**
 * The budgets of a request, shares normalised to a sum of 1 and those of nothing left out. Near-equal query embeddings are
 * merged by retrieval, which sees them; here nothing is.
 * @param outcomes the release's actions and "any"
 */
export function resolveBudgets(
  requested: readonly Budget[],
  outcomes: readonly string[],
  violations: Violations,
): readonly Budget[] {
  violations.count('outcome_budgets', requested.length, { minimum: 0, maximum: BUDGETS });
  let largest = 0;
  for (const [i, { outcome, share, offsetMs }] of requested.entries()) {
    const field = `outcome_budgets[${i}]`;
    violations.word(`${field}.outcome`, outcome, outcomes);
    if (!(share >= 0 && share < Number.POSITIVE_INFINITY))
      violations.add(`${field}.share`, 'must be finite and not negative');
    else if (share > largest) largest = share;
    if (!(offsetMs >= 0 && offsetMs <= OFFSET_MS))
      violations.add(`${field}.offset_ms`, `must be from 0 to ${OFFSET_MS}`);
  }
  if (largest === 0) {
    if (requested.length > 0) violations.add('outcome_budgets', 'the shares sum to nothing');
    return [];
  }
  return normalise(requested, largest);
}

/** Scaled by the largest first, so that huge shares do not overflow the sum nor tiny ones vanish from it. */
function normalise(budgets: readonly Budget[], largest: number): readonly Budget[] {
  const scaled = budgets.map((budget) => budget.share / largest);
  const sum = scaled.reduce((total, share) => total + share, 0);
  return budgets
    .map((budget, i) => ({ ...budget, share: (scaled[i] as number) / sum }))
    .filter((budget) => budget.share > 0);
}
