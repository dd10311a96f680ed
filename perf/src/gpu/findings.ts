import type { Agreement } from './agreement.js';
import type { GpuFigures } from './figures.js';
import type { GpuCase, MeasuredCase } from './gpu-case.js';
import type { GpuMachine } from './gpu-machine.js';
import type { BenchShape } from './options.js';

/** Probabilities of one case beside those of float32 on the CPU. */
export interface ComparedCase {
  readonly case: GpuCase;
  readonly agreement: Agreement;
}

/** All that one run of the bench found so far. */
export interface GpuFindings {
  readonly date: string;
  readonly machine: GpuMachine;
  readonly shape: BenchShape;
  readonly measured: readonly MeasuredCase[];
  readonly compared: readonly ComparedCase[];
  readonly figures: GpuFigures;
  readonly memory: {
    /** KV of one person, in bytes. */
    readonly personBytes: number;
    /** Taken of the device when everything was prepared: weights, buffers and pools of all that is measured side by side. */
    readonly takenBytes: number;
  };
  /** What was left out, and why. */
  readonly notes: readonly string[];
  /** False while more is to come, and where it never came. */
  readonly done: boolean;
}
