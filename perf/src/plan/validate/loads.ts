import type { TraceParameters } from '../../kit/load/index.js';
import type { Told } from '../sim/replay-trace.js';

/** One mesh on one machine, with whoever sends the load, as it is started to be compared with. */
export interface MeshTold {
  /** As the gateway names them. */
  readonly cells: readonly string[];
  /** Of each cell. */
  readonly slots: number;
  readonly inFlight: number;
  readonly budgetMs: number;
  readonly restMs: number;
}

/** Loads of sessions of people that a real mesh was under, one after the other. */
export interface RealLoads {
  /** The mesh. */
  readonly told: MeshTold;
  /** Actions in everybody's history before. */
  readonly length: number;
  /** The first one heats, and counts nowhere. */
  readonly traces: readonly TraceParameters[];
  /** Of each trace, in its ms, what counts. */
  readonly windows: readonly { readonly fromMs: number; readonly toMs: number }[];
  /** What was seen of each trace. */
  readonly seen: readonly Told[];
}
