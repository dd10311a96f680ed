import type { RunTerms } from '@onepass/inference';
import type { KvTensors, SlotContent } from '@onepass/kv';

/** A person's KV as it was written, whole, checked, and of this release, shape and person. Whether the history still is that of `content` is the caller's to ask. */
export interface WarmEntry {
  readonly content: SlotContent;
  /** Effective time of the last token, epoch ms. */
  readonly lastMs: number;
  /** Whether the numbers are those that were written, to the bit. */
  readonly exact: boolean;
  /**
   * Fills the first `content.length` tokens of a slot's tensors, and touches nothing behind them. Once it has answered or thrown, nothing
   * writes to them any more.
   * @throws OnepassError whatever a graph run throws
   */
  restore(into: KvTensors, terms: RunTerms): Promise<void>;
}
