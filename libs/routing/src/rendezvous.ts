import { createHash } from 'node:crypto';
import type { PersonKey } from './person-key.js';

/** What a person draws for a cell: 64 bits, the same wherever and whenever it is drawn. */
export interface Draw {
  readonly cell: string;
  readonly bits: bigint;
}

/** One draw a cell: all that costs anything here, and independent of how much a cell is to get. */
export function drawsOf(person: PersonKey, cells: readonly string[]): Draw[] {
  return cells.map((cell) => ({
    cell,
    bits: createHash('sha256').update(person).update(cell).digest().readBigUInt64BE(),
  }));
}

const EQUAL = () => 1;

/**
 * The cells in the order a person is to try them: highest random weight first (Thaler & Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998). Every caller that knows the same cells and weights gives the same order; a cell that
 * leaves or joins moves only the persons it held or takes.
 * @param weightOf how large a share of the persons a cell is to get, in proportion to the others'; 0 = it comes last
 */
export function cellOrder(person: PersonKey, cells: readonly string[], weightOf = EQUAL as WeightOf): string[] {
  return orderByWeight(drawsOf(person, cells), weightOf).map(({ cell }) => cell);
}

export type WeightOf = (cell: string) => number;

/**
 * Draws in the order of weight / -ln(draw) (Schindelhauer & Schomaker, "Weighted distributed hash tables", 2005): each cell comes first for
 * a share of the persons in proportion to its weight, and who raises one cell's weight moves persons to that cell only.
 */
export function orderByWeight(draws: readonly Draw[], weightOf: WeightOf = EQUAL): Draw[] {
  const scored = draws.map((draw) => ({ draw, weight: weightOf(draw.cell) }));
  // With one weight for all the order is that of the bits, with no rounding.
  const first = scored[0]?.weight;
  if (scored.every(({ weight }) => weight === first)) return [...draws].sort(byBits);
  return scored
    .map(({ draw, weight }) => ({ draw, score: scoreOf(draw.bits, weight) }))
    .sort((a, b) => (a.score === b.score ? byBits(a.draw, b.draw) : b.score - a.score))
    .map(({ draw }) => draw);
}

/** The cell that a person has when all cells count the same; undefined where there is none. */
export function homeOf(draws: readonly Draw[]): string | undefined {
  let home = draws[0];
  for (const draw of draws) if (home !== undefined && byBits(draw, home) < 0) home = draw;
  return home?.cell;
}

function byBits(a: Draw, b: Draw): number {
  if (a.bits === b.bits) return a.cell < b.cell ? -1 : 1;
  return a.bits < b.bits ? 1 : -1;
}

const DRAWS = 2 ** 64;

function scoreOf(bits: bigint, weight: number): number {
  return weight > 0 ? weight / Math.abs(Math.log((Number(bits) + 0.5) / DRAWS)) : 0;
}
