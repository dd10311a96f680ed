/** Entries of one release, one a person. Bounded: the entry that was written first goes first. */
export interface WarmStore {
  /**
   * The person's entry as it lies there, whole or not; undefined = there is none.
   * @throws OnepassError `unavailable` when the store cannot be asked
   */
  read(person: string): Promise<Buffer | undefined>;
  /**
   * Puts the entry in place of the person's last one, whole or not at all. One at a time; `entry` must not change until it has answered.
   * @returns whether there was room
   * @throws OnepassError `unavailable`; then it is there or not
   */
  write(person: string, entry: Buffer): Promise<'written' | 'full'>;
  /** Removes the person's entry. @throws OnepassError `unavailable` */
  drop(person: string): Promise<void>;
  /**
   * Removes what any release's cells wrote of the person. No write of the person may be under way here.
   * @throws OnepassError `unavailable` when something may be left
   */
  forget(person: string): Promise<void>;
  /** Entries of all releases and their bytes, as far as it is known here. */
  usage(): { readonly entries: number; readonly bytes: number };
  /** How long it had better not be written to, in ms. */
  readonly restMs: number;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

export interface StoreLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  /** The largest entry of this release's shape. */
  readonly maxEntryBytes: number;
}
