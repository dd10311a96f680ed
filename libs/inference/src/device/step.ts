/** One call of a native function in a lane's thread. */
export interface Step {
  /** Address of the function. */
  readonly call: bigint;
  /**
   * Its result and its parameters, a letter each. Results: `s` status of ONNX Runtime (0 = well), `c` error code (0 = well), `v` none that says anything.
   * Parameters: `p` address, `z` size_t, `i` int.
   */
  readonly signature: string;
  readonly args: readonly (bigint | number)[];
  /** Called even when a step before it failed. */
  readonly always?: boolean;
}

/** A step whose result was not 0. */
export interface FailedStep {
  readonly step: number;
  readonly result: bigint;
}

/** What became of steps. */
export interface Played {
  readonly micros: number;
  readonly failed: readonly FailedStep[];
}
