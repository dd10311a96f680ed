import { quoted, type Violations } from './fields.js';

/** Largest size of a feature's number: float32 rows hold it, and what a model makes of it stays finite. Epoch milliseconds are far below. */
export const FEATURE = 1e15;

/**
 * Features of a request by name: each one that the release declares, with a number that it can take.
 * @param declared names; undefined = any of at most 128 bytes
 */
export function checkFeatures(
  field: string,
  features: Readonly<Record<string, number>>,
  declared: readonly string[] | undefined,
  violations: Violations,
): void {
  for (const [name, value] of Object.entries(features)) {
    const entry = `${field}[${quoted(name)}]`;
    if (declared === undefined) violations.id(entry, name);
    if (declared?.includes(name) === false) violations.add(entry, 'is not a request feature of the release');
    else if (!Number.isFinite(value)) violations.add(entry, 'must be a finite number');
    else if (Math.abs(value) > FEATURE) violations.add(entry, `must be a number from -${FEATURE} to ${FEATURE}`);
  }
}
