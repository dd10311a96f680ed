import type { BucketShape } from './buckets.js';
import type { DeviceModel } from './device-model.js';
import type { EncodeAsk, RankAsk } from './trunk-ask.js';
import { trunkDefect } from './trunk-defect.js';

/**
 * Whether the ask has the model's shape: what has not, never comes near a run of others.
 * @returns its rows
 * @throws OnepassError `internal`; its cause says what is wrong
 */
export function checkEncode(
  { columns }: DeviceModel,
  { capacity, prefill }: BucketShape,
  { state, rows, tokens, from }: EncodeAsk,
): number {
  const count = rows.length / columns;
  if (!Number.isSafeInteger(count) || count < 1)
    throw trunkDefect(
      `encode: rows has ${rows.length} numbers, the model wants ${columns} a row, and one row at least`,
    );
  if (!isWithin(tokens, 0, count)) throw trunkDefect(`encode: ${tokens} of ${count} rows cannot be new tokens`);
  if (!isWithin(from, 0, Number.MAX_SAFE_INTEGER)) throw trunkDefect(`encode: rows cannot be behind ${from} tokens`);
  if (state === undefined && !(prefill && from === 0 && tokens === 0 && count <= capacity))
    throw trunkDefect(
      `encode: without a slot there are rows of the request alone, ${capacity} at most, and a prefill graph`,
    );
  return count;
}

/** @throws OnepassError `internal`; its cause says what is wrong */
export function checkRank(
  { columns, embedding, contextRows: most }: DeviceModel,
  candidates: number,
  ask: RankAsk,
): void {
  const { context, contextRows, candidateRow, candidateCount } = ask;
  if (!isWithin(contextRows, 1, most))
    throw trunkDefect(`rank: ${contextRows} context rows, the model takes 1 to ${most}`);
  if (!isWithin(candidateCount, 1, candidates))
    throw trunkDefect(`rank: ${candidateCount} candidates, there may be 1 to ${candidates}`);
  const sizes: [string, Float32Array, number][] = [
    ['context', context, contextRows * columns],
    ['candidates', ask.candidates, candidateCount * embedding],
    ['candidateRow', candidateRow, columns - embedding],
  ];
  for (const [name, data, size] of sizes) {
    if (data.length !== size) throw trunkDefect(`rank: ${name} has ${data.length} numbers instead of ${size}`);
  }
}

function isWithin(value: number, from: number, to: number): boolean {
  return Number.isSafeInteger(value) && value >= from && value <= to;
}
