import type { SystemName } from '../measurements.js';

type Numbers = Readonly<Record<string, number>>;

/** One system under test, started and serving: what the kit may know of any of them, of whatever it is made. */
export interface RunningSystem {
  readonly name: SystemName;
  /** What is special about it, for who reads the report. */
  readonly description: string;
  /** host:port of the front door, which answers onepass.gateway.v1. */
  readonly address: string;
  /** host:port of every process by role; absent where they are not processes of ours. */
  readonly addresses?: Readonly<Record<string, string>>;
  /** Memory of the KV that it may keep from request to request, all pools together, in MiB; 0 = it keeps none. */
  readonly kvMiB: number;
  /** Process ids of the moment, by role. */
  pids(): Numbers;
  /** What each process says of itself, by role, then by name of the measurement; empty for a system whose processes say nothing. */
  measurements(): Promise<Readonly<Record<string, Numbers>>>;
  /** Ends its processes; resolves when none is left. What lies in its folder stays. */
  stop(): Promise<void>;
}
