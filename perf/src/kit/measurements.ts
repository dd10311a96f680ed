import type { Machine } from '../machine.js';

/**
 * The systems that are compared, on one release and the same requests. A: all of Onepass. B: two separate models, nothing shared,
 * nothing kept. Bprime: two separate models, each keeping its own KV across requests, together in A's memory. C: KV shared by the stages
 * of a request, not kept. D: shared and kept, no warm tier. G, Gkv: one Python process on the same graphs, without KV kept and with it.
 */
export const SYSTEMS = ['A', 'B', 'Bprime', 'C', 'D', 'G', 'Gkv'] as const;
export type SystemName = (typeof SYSTEMS)[number];

/** What the model and a request look like: n past tokens, k candidates, L layers of width d. */
export interface Shape {
  readonly n: number;
  readonly k: number;
  readonly layers: number;
  readonly width: number;
}

/** `qps` calls a second are sent in an open loop whether or not those before them are answered. A trace is open too, its rate its own. */
export type LoadKind =
  | { readonly kind: 'closed'; readonly concurrency: number }
  | { readonly kind: 'open'; readonly qps: number }
  | { readonly kind: 'trace'; readonly people: number; readonly qps: number };

/** How long calls took; of an open loop or a trace, from when each was meant to be sent. In ms, of good pages alone. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  /** Undefined below 1,000 samples. */
  readonly p99: number | undefined;
  /** Undefined below 10,000 samples. */
  readonly p999: number | undefined;
}

/** What a load's sender saw, warm-up left out. */
export interface LoadSeen {
  readonly seconds: number;
  readonly calls: number;
  /** Whole pages: neither failed nor degraded. */
  readonly good: number;
  readonly degraded: number;
  /** By gRPC status, OK left out. */
  readonly errors: Readonly<Record<string, number>>;
  /** Whole pages a second. */
  readonly goodput: number;
  readonly latencyMs: Latency;
  /** CPU that the sender used, as a share of one core; and the cores it was pinned to, where it was. */
  readonly senderCpu: number;
  readonly senderCores: readonly number[] | undefined;
}

/** One system under one load at one point of one sweep, in one round. */
export interface Measurement {
  /** The same for the same thing measured again: what a run that goes on need not repeat. */
  readonly key: string;
  readonly date: string;
  readonly round: number;
  readonly system: SystemName;
  readonly shape: Shape;
  readonly load: LoadKind;
  /** Absent outside sweeps. */
  readonly sweep?: { readonly name: SweepName; readonly value: number };
  readonly seen: LoadSeen;
  /** CPU that each process used, in ms a call. */
  readonly cpuMs: Readonly<Record<string, number>>;
  readonly residentMiB: Readonly<Record<string, number>>;
  /** Where the KV that pages were ranked on came from, in pages by source (slot, append, recompute, empty). */
  readonly kv: Readonly<Record<string, number>>;
  /** Memory of the KV that the system may keep, in MiB. */
  readonly kvMiB: number;
}

export type SweepName =
  | 'history' // n
  | 'candidates' // k
  | 'returning' // share of requests by people whose KV may be held
  | 'actions' // new actions between two requests of a person
  | 'kv_memory' // MiB
  | 'rate' // offered pages a second
  | 'cells';

/** The graphs alone, one call at a time, nothing else running: medians in ms. */
export interface PureCompute {
  readonly round: number;
  readonly shape: Shape;
  readonly encodeAll: number;
  /** One new token and the context row, on held KV. */
  readonly append: number;
  readonly retrieveHead: number;
  readonly rankOnKv: number;
  /** History and candidates in one pass, nothing held. */
  readonly rankFromScratch: number;
  readonly search: number;
}

/** All that one run of the kit left; lines of measurements are appended as they come, so that a run can go on. */
export interface Findings {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly release: { readonly id: string; readonly name: string; readonly synthetic: boolean };
  /** Threads, precision, settings: the same for every system unless its entry here says otherwise. */
  readonly settings: Readonly<Record<string, string>>;
  readonly systems: Readonly<Partial<Record<SystemName, string>>>;
  readonly measurements: readonly Measurement[];
  readonly pure: readonly PureCompute[];
  /** By name, as perf/report/summary.json has them; undefined while unmeasured. */
  readonly numbers: Readonly<Record<string, number | undefined>>;
  /** True when the run was cut short: what is here is whole, but not all. */
  readonly partial: boolean;
}
