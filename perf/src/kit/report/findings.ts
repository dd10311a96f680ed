import type { Machine } from '../../machine.js';
import type { Findings, Measurement, PureCompute, Shape, SystemName } from '../measurements.js';

/** What the time of a span goes into. */
export const SPAN_KINDS = ['compute', 'serialise', 'copy', 'hop', 'queue', 'network', 'other'] as const;
export type SpanKind = (typeof SPAN_KINDS)[number];

/** A part of one request, from its begin. A span may lie inside another. */
export interface Span {
  readonly name: string;
  readonly process: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly endMs: number;
}

/** One warm request, taken apart. */
export interface Waterfall {
  readonly date: string;
  readonly shape: Shape;
  readonly system: SystemName;
  /** Which request it is, in words: "the median of 500 warm requests, one at a time". */
  readonly what: string;
  readonly spans: readonly Span[];
}

/** Where one process spends its CPU, as a profiler of the process saw it. */
export interface CpuParts {
  readonly date: string;
  readonly shape: Shape;
  readonly system: SystemName;
  readonly process: string;
  /** CPU in ms a page, by what it is for: names of CPU_PARTS. */
  readonly parts: readonly { readonly name: string; readonly ms: number }[];
  /** CPU of the whole process in ms a page at the same load without a profiler, which slows a process down. */
  readonly plainMs?: number;
}

/** What CPU is for, in the order in which it is told. */
export const CPU_PARTS = [
  'graphs, thread pool',
  'gRPC and HTTP/2',
  'protobuf messages',
  'search',
  'tokens and history',
  'page rules and tokens',
  'telemetry',
  'garbage collection, V8’s threads',
  'other JavaScript',
  'native and kernel',
] as const;
export type CpuPart = (typeof CPU_PARTS)[number];

/** A function that was running, or had called what was. */
export interface FlameFrame {
  readonly name: string;
  /** Its file, within the repository or its package. */
  readonly where?: string;
  readonly part: CpuPart;
  /** CPU in ms a page, of what it called too. */
  readonly ms: number;
  /** What it called; the widest first. */
  readonly inner: readonly FlameFrame[];
}

/** Where one process spends its CPU, by stacks of calls. */
export interface Flame {
  readonly date: string;
  readonly shape: Shape;
  readonly system: SystemName;
  readonly process: string;
  /** Of the main thread, and beside them the other threads. */
  readonly frames: readonly FlameFrame[];
}

/** An avoidable cost that was removed, measured before and after in turns. Kept in perf/improvements.json: it needs code that is no more. */
export interface Improvement {
  readonly date: string;
  readonly machine: string;
  readonly shape: Shape;
  readonly what: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
}

/** What a page takes in the gateway beyond the stages that it waits for: one at a time, warm, the median of a round's pages. */
export interface GatewayTime {
  readonly date: string;
  readonly round: number;
  readonly shape: Shape;
  readonly p50Ms: number;
}

/** Calls at a time that a bare chain is loaded with. */
export const CHAIN_CONCURRENCY = 4;

/**
 * Four processes that pass the same messages along and do nothing else: what gRPC and protobuf alone cost on this machine. A mesh's
 * overhead is read beside it.
 */
export interface BareChainCost {
  readonly date: string;
  readonly round: number;
  readonly shape: Shape;
  /** CPU of all its processes, in ms a call. */
  readonly cpuMs: number;
}

/** Whether both senders of loads see the same, in words. */
export interface CrossChecked {
  readonly date: string;
  readonly told: string;
}

/** Everything that a run may find, by kind. */
export interface FindingKinds {
  readonly measurement: Measurement;
  readonly pure: PureCompute;
  readonly waterfall: Waterfall;
  readonly cpu: CpuParts;
  readonly flame: Flame;
  readonly gateway: GatewayTime;
  readonly chain: BareChainCost;
  readonly crossCheck: CrossChecked;
}
export type FindingKind = keyof FindingKinds;

export interface MeasuredRelease {
  readonly id: string;
  readonly name: string;
  /** Its weights are made up: speeds mean something, pages do not. */
  readonly synthetic: boolean;
}

/** What a run is: another machine, version, setting or release makes it another run. */
export interface RunIdentity {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string>>;
  readonly systems: Findings['systems'];
  /** One for each shape of model; the first is the one that the run is about. At least one. */
  readonly releases: readonly MeasuredRelease[];
}

/** Findings, with what the page needs beyond them. */
export interface ReportFindings extends Findings {
  readonly releases: readonly MeasuredRelease[];
  readonly waterfalls: readonly Waterfall[];
  readonly cpu: readonly CpuParts[];
  readonly flames: readonly Flame[];
  readonly improvements: readonly Improvement[];
  readonly gateway: readonly GatewayTime[];
  readonly chain: readonly BareChainCost[];
  /** What a reader should know of how the run went: lines left out, things that could not be measured and why. */
  readonly notes: readonly string[];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return shapeKey(a) === shapeKey(b);
}

/** Also the suffix of the figures of a shape that has no name of its own. */
export function shapeKey({ n, k, layers, width }: Shape): string {
  return `n${n}_k${k}_l${layers}_d${width}`;
}

/** In the words of the field. */
export function describeShape({ n, k, layers, width }: Shape): string {
  return `n=${n}, k=${k}, L=${layers}, d=${width}`;
}
