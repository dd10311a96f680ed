/**
 * Where one person's KV lies and what it was made from; the fields of onepass.common.v1.KvReference. It stays good while the slot is
 * appended to: `length` says how much of it was meant.
 */
export interface KvReference {
  readonly releaseId: string;
  readonly poolId: string;
  readonly slot: number;
  readonly generation: bigint;
  readonly length: number;
  /** 16 bytes. */
  readonly personKey: Uint8Array;
  readonly historySequence: bigint;
  readonly historyHash: bigint;
}
