import { quoted, type Violations } from './fields.js';

/** At most `maximum` items of one value of `attribute` in any `window` consecutive positions of a page. */
export interface DiversityWindow {
  readonly attribute: string;
  readonly window: number;
  readonly maximum: number;
}

/** Values of one attribute of one candidate; several for a list-valued attribute, none for a missing one. */
export type ValuesOf = (candidate: number, attribute: string) => readonly string[];

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
 * Windows are counted within one page.
 */
export function diversify(
  order: readonly number[],
  size: number,
  windows: readonly DiversityWindow[],
  valuesOf: ValuesOf,
): number[] {
  const page: number[] = [];
  const waiting = [...order];
  while (page.length < size) {
    const at = waiting.findIndex((candidate) => windows.every((window) => fits(candidate, page, window, valuesOf)));
    if (at < 0) break;
    page.push(...waiting.splice(at, 1));
  }
  return page;
}

function fits(candidate: number, page: readonly number[], rule: DiversityWindow, valuesOf: ValuesOf): boolean {
  const before = page.slice(Math.max(0, page.length - (rule.window - 1)));
  return valuesOf(candidate, rule.attribute).every((value) => {
    const others = before.filter((other) => valuesOf(other, rule.attribute).includes(value));
    return others.length < rule.maximum;
  });
}
