import type { HostArrays } from '@onepass/inference';
import { type EncodeSizes, hasColumns, type RankSizes } from './buckets.js';
import type { DeviceModel } from './device-model.js';
import { PADDING_PAGE, ZERO_PAGE } from './page-table.js';
import { trunkDefect } from './trunk-defect.js';

/** One person's part of an encode. */
export interface EncodeEntry {
  /** [n x F], n at least 1. */
  readonly rows: Float32Array;
  /** Tokens held before. */
  readonly from: number;
  /** That hold the tokens before and the new ones. */
  readonly pages: readonly number[];
  /** Rows behind the new ones that are overwritten too. */
  readonly behind: number;
  /** Pool row of a token. */
  rowOf(token: number): number;
}

/** One request to rank, on its person's past. */
export interface Slate {
  /** [c x F], c at least 1. */
  readonly context: Float32Array;
  readonly contextRows: number;
  /** [k x E]. */
  readonly candidates: Float32Array;
  readonly candidateCount: number;
  /** [F - E]. */
  readonly candidateRow: Float32Array;
}

/** One person's part of a ranking. */
export interface RankEntry {
  /** Tokens of the past that are meant. */
  readonly length: number;
  readonly pages: readonly number[];
  readonly slates: readonly Slate[];
}

/**
 * Inputs of the encode graph; people, rows and pages that nobody has are padding: rows of zeros, which write to the padding page, except those that
 * overwrite what lies behind somebody's tokens.
 */
export function fillEncode(
  inputs: HostArrays,
  { b, g, m }: EncodeSizes,
  { columns, pageTokens }: Pick<DeviceModel, 'columns' | 'pageTokens'>,
  entries: readonly EncodeEntry[],
): void {
  for (const { from } of entries)
    if (!hasColumns({ pageTokens }, { g, m }, from))
      throw trunkDefect(`${m} rows behind ${from} tokens in a run of g=${g}: no columns for all of them`);
  putAll(floats(inputs, 'rows'), b, (i) => entries[i]?.rows);
  const [counts, targets] = [words(inputs, 'counts').fill(1n), words(inputs, 'targets')];
  // People without a past have neither.
  const lengths = g === 0 ? undefined : words(inputs, 'lengths').fill(0n);
  const pages = g === 0 ? undefined : words(inputs, 'pages').fill(BigInt(ZERO_PAGE));
  for (let i = 0; i < b * m; i++) targets[i] = paddingRow(pageTokens, i);
  for (const [i, entry] of entries.entries()) {
    const count = entry.rows.length / columns;
    if (count + entry.behind > m || (g > 0 && entry.pages.length > g))
      throw trunkDefect(
        `${count} rows, ${entry.behind} behind them and ${entry.pages.length} pages in a run of m=${m}, g=${g}`,
      );
    counts[i] = BigInt(count);
    if (lengths) lengths[i] = BigInt(entry.from);
    if (pages) for (const [j, page] of entry.pages.entries()) pages[i * g + j] = BigInt(page);
    for (let j = 0; j < count + entry.behind; j++) targets[i * m + j] = BigInt(entry.rowOf(entry.from + j));
  }
}

/** Inputs of the rank graph; padding is zeros, one context row of each slate excepted, which every slate has. */
export function fillRank(inputs: HostArrays, { b, g, s }: RankSizes, entries: readonly RankEntry[]): void {
  const put = (name: string, of: (slate: Slate) => Float32Array) =>
    putAll(floats(inputs, name), b * s, (i) => {
      const slate = entries[Math.floor(i / s)]?.slates[i % s];
      return slate && of(slate);
    });
  put('context', ({ context }) => context);
  put('candidates', ({ candidates }) => candidates);
  put('candidate_row', ({ candidateRow }) => candidateRow);
  const [contextCounts, lengths, pages] = ['context_counts', 'lengths', 'pages'].map((name) => words(inputs, name));
  contextCounts!.fill(1n);
  lengths!.fill(0n);
  pages!.fill(BigInt(ZERO_PAGE));
  for (const [i, entry] of entries.entries()) {
    if (entry.pages.length > g || entry.slates.length > s)
      throw trunkDefect(`${entry.pages.length} pages and ${entry.slates.length} slates in a run of g=${g}, s=${s}`);
    lengths![i] = BigInt(entry.length);
    for (const [j, page] of entry.pages.entries()) pages![i * g + j] = BigInt(page);
    for (const [j, { contextRows }] of entry.slates.entries()) contextCounts![i * s + j] = BigInt(contextRows);
  }
}

/** [W] of entry i: a copy. */
export function hiddenOf(outputs: HostArrays, width: number, i: number): Float32Array {
  return floats(outputs, 'hidden').slice(i * width, (i + 1) * width);
}

/** [k x A] of slate j of entry i, without its padding: a copy. */
export function probabilitiesOf(
  outputs: HostArrays,
  { s, k }: RankSizes,
  actions: number,
  at: { readonly entry: number; readonly slate: number; readonly candidates: number },
): Float32Array {
  const from = (at.entry * s + at.slate) * k * actions;
  return floats(outputs, 'probabilities').slice(from, from + at.candidates * actions);
}

/** Neither NaN nor infinite, all of them. */
export function areFinite(numbers: Float32Array): boolean {
  // A zero of every number, or NaN: one look at the end instead of one at each.
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]! * 0;
  return sum === 0;
}

/** Whether one row at least is finite. @param numbers [n x width] */
export function hasFiniteRow(numbers: Float32Array, width: number): boolean {
  for (let at = 0; at < numbers.length; at += width) if (areFinite(numbers.subarray(at, at + width))) return true;
  return false;
}

/** Parts of equal size, each from its beginning, and zeros in the rest of each: every number is written once, since these are many. */
function putAll(target: Float32Array, parts: number, part: (i: number) => Float32Array | undefined): void {
  const size = target.length / parts;
  for (let i = 0; i < parts; i++) {
    const data = part(i);
    if (data !== undefined && data.length > size) throw trunkDefect(`${data.length} numbers where a run has ${size}`);
    if (data !== undefined) target.set(data, i * size);
    target.fill(0, i * size + (data?.length ?? 0), (i + 1) * size);
  }
}

/** Spread over the page, so that as few rows as possible are written more than once. */
function paddingRow(pageTokens: number, i: number): bigint {
  return BigInt(PADDING_PAGE * pageTokens + (i % pageTokens));
}

function floats(arrays: HostArrays, name: string): Float32Array {
  return arrays[name] as Float32Array;
}

function words(arrays: HostArrays, name: string): BigInt64Array {
  return arrays[name] as BigInt64Array;
}
