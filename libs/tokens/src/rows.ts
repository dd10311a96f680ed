import { KIND, type RowLayout } from './layout.js';

/** When a row happened, in epoch milliseconds, and when the past token before it did; absent = there is none. */
export interface RowTime {
  readonly timeMs: number;
  readonly previousMs?: number | undefined;
}

export interface PastRow extends RowTime {
  /** [E]: the item acted on, or the query. */
  readonly embedding: Float32Array;
  readonly query: boolean;
  /** Indices into the release's actions. */
  readonly actions: readonly number[];
  /** Index into the release's surfaces; -1 = one the release does not know. */
  readonly surface: number;
}

export interface RequestRow {
  readonly surface: number;
  /** The request's "now", epoch milliseconds. */
  readonly nowMs: number;
  /** Effective time of the last past token; absent = an empty past. */
  readonly previousMs?: number | undefined;
}

export interface ContextRequest extends RequestRow {
  /** [c, E]: one row for each related item or query; undefined = one row without an embedding. */
  readonly embeddings?: Float32Array | undefined;
  /** The release's features of requests by name, as far as they were given; names it does not know are nothing. */
  readonly features?: Readonly<Record<string, number>> | undefined;
}

/**
 * Writes a past action or query as row `rowIndex` of `out` [rows, F], over whatever was there. A function of this one and the
 * token before it only.
 */
export function writePastRow(layout: RowLayout, out: Float32Array, rowIndex: number, row: PastRow): void {
  const start = rowIndex * layout.features;
  out.fill(0, start + layout.itemDimension, start + layout.features);
  out.set(row.embedding, start);
  for (const action of row.actions) out[start + layout.actionColumn + action] = 1;
  writeTail(layout, out, start, {
    surface: row.surface,
    time: row,
    kind: row.query ? KIND.pastQuery : KIND.pastAction,
  });
}

/**
 * The request's own rows; each carries all of its features.
 * @returns [c, F]
 */
export function contextRows(layout: RowLayout, request: ContextRequest): Float32Array {
  const { itemDimension, features } = layout;
  const { embeddings } = request;
  const count = embeddings === undefined ? 1 : embeddings.length / itemDimension;
  const out = new Float32Array(count * features);
  for (let row = 0; row < count; row++) {
    const start = row * features;
    if (embeddings !== undefined) {
      out.set(embeddings.subarray(row * itemDimension, (row + 1) * itemDimension), start);
    }
    writeTail(layout, out, start, { surface: request.surface, time: requestTime(request), kind: KIND.context });
    writeFeatures(layout, out, start, request.features ?? {});
  }
  return out;
}

/**
 * What all candidates of a request share: everything after the embedding, actions masked.
 * @returns [F - E]
 */
export function candidateRow(layout: RowLayout, request: RequestRow): Float32Array {
  const row = new Float32Array(layout.features);
  row[layout.maskColumn] = 1;
  writeTail(layout, row, 0, { surface: request.surface, time: requestTime(request), kind: KIND.candidate });
  return row.slice(layout.itemDimension);
}

/** The retrieval head's input for an outcome looked for `offsetMs` (not negative) ahead of now. */
export function headOffset(layout: RowLayout, offsetMs: number): number {
  return Math.fround(logSeconds(layout, offsetMs));
}

function requestTime(request: RequestRow): RowTime {
  return { timeMs: request.nowMs, previousMs: request.previousMs };
}

interface RowTail {
  readonly surface: number;
  readonly time: RowTime;
  readonly kind: number;
}

/** Surface, time and kind of a row of zeros that begins at `start`. */
function writeTail(layout: RowLayout, out: Float32Array, start: number, { surface, time, kind }: RowTail): void {
  if (surface >= 0) out[start + layout.surfaceColumn + surface] = 1;
  let column = start + layout.timeColumn;
  for (const period of layout.periodsMs) {
    // In float64: at float32 the time itself would be off by minutes.
    const angle = (2 * Math.PI * modulo(time.timeMs, period)) / period;
    out[column++] = Math.sin(angle);
    out[column++] = Math.cos(angle);
  }
  if (time.previousMs !== undefined) {
    out[column] = logSeconds(layout, time.timeMs - time.previousMs);
    out[column + 1] = 1;
  }
  out[start + layout.kindColumn + kind] = 1;
}

/** As they are: training folds what makes them comparable into the weights. One that was not given is not one of 0. */
function writeFeatures(
  layout: RowLayout,
  out: Float32Array,
  start: number,
  features: Readonly<Record<string, number>>,
): void {
  const { requestFeatures, requestFeatureColumn } = layout;
  requestFeatures.forEach((name, i) => {
    if (!Object.hasOwn(features, name)) return;
    const column = start + requestFeatureColumn + i;
    out[column] = features[name] as number;
    out[column + requestFeatures.length] = 1;
  });
}

function logSeconds(layout: RowLayout, ms: number): number {
  return Math.log1p(Math.max(0, ms) / 1000) / layout.deltaScale;
}

/** Never negative, as in Python: times before 1970 are none of ours, but a row must not depend on the language. */
function modulo(value: number, period: number): number {
  return ((value % period) + period) % period;
}
