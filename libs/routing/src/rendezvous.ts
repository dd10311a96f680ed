import { createHash } from 'node:crypto';
import type { PersonKey } from './person-key.js';

/**
 * The cells in the order a person is to try them: highest random weight first (Thaler & Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998). Every caller that knows the same cells gives the same order; a cell that leaves
 * or joins moves only the persons it held or takes.
 */
export function cellOrder(person: PersonKey, cells: readonly string[]): string[] {
  return cells
    .map((cell) => ({ cell, weight: weightOf(person, cell) }))
    .sort((a, b) => (a.weight === b.weight ? (a.cell < b.cell ? -1 : 1) : a.weight < b.weight ? 1 : -1))
    .map(({ cell }) => cell);
}

function weightOf(person: PersonKey, cell: string): bigint {
  return createHash('sha256').update(person).update(cell).digest().readBigUInt64BE();
}
