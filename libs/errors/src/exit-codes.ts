/** Codes with which processes end, beside 0 (docs/operations.md). A supervisor starts a new process after any of them. */
export const EXIT_CODES = {
  /** It could not start, or did not stop cleanly: a sentence on standard error or in the log says why. */
  failed: 1,
  /** A defect: an error that nobody handled. */
  defect: 70,
  /** The device is lost: nothing that asks it answers any more in this process. */
  lostDevice: 74,
} as const;
