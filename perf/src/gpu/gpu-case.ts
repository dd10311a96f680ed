import type { PassKind } from './flops.js';

/**
 * What is timed: a pass, an encode that knows that nothing is held, the gather alone, ranking on KV that is copied from the host for every run, or (PyTorch's) that
 * copy alone.
 */
export type Timed = PassKind | 'prefill' | 'gather' | 'rank_host_kv' | 'kv_copy';
export type SystemName = 'onepass' | 'pytorch';

export interface GpuCase {
  readonly system: SystemName;
  readonly timed: Timed;
  /** People in one run. */
  readonly batch: number;
  /** New rows of each person: all of an encode's or a prefill's, some of an append's. */
  readonly rows: number;
  /** Of the device graphs, or PyTorch's; "none" of a gather. */
  readonly attention: string;
  /** Captured as a CUDA graph and replayed. */
  readonly captured: boolean;
}

/** Microseconds of each of some runs. */
export interface RunTimes {
  /** From the first copy to the device to the last one from it. */
  readonly deviceMicros: readonly number[];
  /** As whoever asked for the run waited for it. */
  readonly wallMicros: readonly number[];
}

/** A case that is ready to run. */
export interface ReadyCase {
  readonly case: GpuCase;
  time(runs: number): Promise<RunTimes>;
  /** Of one run: hidden states or probabilities of the batch; nothing of what has none. */
  outputs(): Promise<Float32Array>;
}

/** Medians over the runs of one round. */
export interface CaseRound {
  /** Of all rounds of a bench: cases that were timed in the same one can be compared. */
  readonly round: number;
  readonly deviceMicros: number;
  readonly wallMicros: number;
}

export interface MeasuredCase {
  readonly case: GpuCase;
  readonly rounds: readonly CaseRound[];
}

/** In few words, for tables and notes. */
export function describeCase({ system, timed, batch, rows, attention, captured }: GpuCase): string {
  const what = timed === 'append' ? `append ${rows}` : timed.replaceAll('_', ' ');
  const parts = [system === 'pytorch' ? `PyTorch ${what}` : what, attention === 'none' ? '' : attention];
  return [...parts, captured ? 'captured' : '', `B=${batch}`].filter((part) => part !== '').join(', ');
}
