import type { HistoryHead } from '@onepass/history';
import type { RunTerms, RunTiming } from '@onepass/inference';
import type { KvSlots, SlotState } from '@onepass/kv';
import { contextRows, type PastToken, writePastRows } from '@onepass/tokens';
import type { EncodeAsk } from './encode-ask.js';
import type { TextEmbeddings } from './query-tower.js';
import type { ServedModel } from './served-model.js';

/** The past of one pass: what is held, and what is new behind it. */
export interface PassPast {
  /** Whose tokens are held, leased and with room for all rows; undefined = an empty past that is not to be kept. */
  readonly slot: SlotState | undefined;
  readonly tokens: readonly PastToken[];
  /** Of the queries among `tokens`. */
  readonly texts: TextEmbeddings;
  /** Time of the token before `tokens[0]`. */
  readonly previousMs: number | undefined;
  /** Time of the last token of all. */
  readonly lastMs: number | undefined;
  /** The history that the slot's tokens are made from, with these. */
  readonly head: HistoryHead;
}

export interface TrunkPass {
  /** [W], of the last row, behind the final norm; the caller's own. */
  readonly hidden: Float32Array;
  readonly timing: RunTiming;
}

/** The shared transformer over the KV of this cell, wherever they are. */
export interface Trunk {
  /** The KV that it writes. */
  readonly kv: KvSlots;
  /** Whether nothing of it runs or waits to. */
  readonly isIdle: boolean;
  /**
   * New tokens and, behind them where there are queries, the request's context rows, in one causal pass: one row at least. The new tokens are published
   * as the slot's once it has resolved; of the context rows nothing is kept. When it rejects, nothing was published.
   * @throws OnepassError whatever a graph run throws; `kv_miss` when the slot was retired meanwhile
   */
  encode(past: PassPast, ask: EncodeAsk, terms: RunTerms): Promise<TrunkPass>;
}

/** Rows of a pass: its new tokens, and those of the request itself, whose hidden states are for the queries alone. */
export function passRows({ tokens }: Pick<PassPast, 'tokens'>, { queries, contextRows }: EncodeAsk): number {
  return tokens.length + (queries.length === 0 ? 0 : contextRows);
}

/** @param rows [passRows x F] */
export function writePassRows(model: ServedModel, past: PassPast, ask: EncodeAsk, rows: Float32Array): void {
  const { layout } = model;
  const { tokens, texts, previousMs, lastMs } = past;
  writePastRows(layout, rows, tokens, {
    previousMs,
    itemEmbedding: (row) => model.embedding(row),
    queryEmbedding: (text) => texts.get(text)!,
  });
  if (passRows(past, ask) === tokens.length) return;
  const { surface, nowMs, embeddings, context } = ask;
  const request = { surface, nowMs, previousMs: lastMs, embeddings, features: context.features };
  rows.set(contextRows(layout, request), tokens.length * layout.features);
}
