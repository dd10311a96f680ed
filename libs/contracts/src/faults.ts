/** Breaks calls on purpose, for drills. Off unless a process is told otherwise, and never in production mode. */
export interface Faults {
  /** Before a call is handled: may wait, or reject with the error to be answered. */
  before(method: string, signal: AbortSignal): Promise<void> | undefined;
  /** The response to be sent in place of `response`. */
  after<T extends object>(method: string, response: T): T;
}
