import type { DeviceModel } from '@onepass/device-trunk';
import type { GpuCase, Timed } from '../gpu/gpu-case.js';
import { PAGED } from '../gpu/graphs.js';
import type { CapturedWork } from './trace.js';

/** What the tracing process is asked. */
export interface TraceAsk {
  /** Of the device graphs. */
  readonly folder: string;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
  /** Of ONNX Runtime with CUDA. */
  readonly libraries: string;
  /** The file that the fake CUDA writes. */
  readonly trace: string;
}

/** And what it answers for each case. */
export interface TracedCase {
  readonly asked: GpuCase;
  readonly what: string;
  /** Absent where nothing was captured. */
  readonly work?: CapturedWork | undefined;
  /** Why it could not be prepared. */
  readonly why?: string;
  readonly faults: readonly string[];
  /** Of the device, taken for it: its buffers, what its graph works in and, where it is the graph's first case, weights. */
  readonly taken: number;
}

/** Every pass with every kind of attention, at the whole batch. */
export function tracedCases(
  { graphs }: Pick<DeviceModel, 'graphs'>,
  { n, batch }: Pick<TraceAsk, 'n' | 'batch'>,
): GpuCase[] {
  const of = (timed: Timed, attention: string, rows = 0): GpuCase => {
    return { system: 'onepass', timed, batch, rows, attention, captured: true };
  };
  return [
    of('gather', 'none'),
    ...Object.keys(graphs.prefill ?? {}).map((attention) => of('prefill', attention, n)),
    ...Object.keys(graphs.encode).flatMap((attention) => [
      ...(attention === PAGED ? [] : [of('encode', attention, n)]),
      of('append', attention, 1),
    ]),
    ...Object.keys(graphs.rank).map((attention) => of('rank', attention)),
    ...Object.keys(graphs.recompute).map((attention) => of('recompute', attention)),
  ];
}
