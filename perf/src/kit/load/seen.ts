import { percentile } from '../../statistics.js';
import type { Latency, LoadSeen } from '../measurements.js';

/** One call for a page as its sender saw it. Times are epoch ms with fractions. */
export interface SentCall {
  /** When it was meant to be sent; in a closed loop, when it was. */
  readonly intendedMs: number;
  readonly sentMs: number;
  readonly endedMs: number;
  /** gRPC status as RESOURCE_EXHAUSTED, OK among them; NOT_SENT: the sender had too many in flight. */
  readonly status: string;
  /** Undefined where the sender does not read answers. */
  readonly degraded?: boolean | undefined;
  /** Where the KV of the page came from, as in Measurement.kv; where the sender reads answers. */
  readonly kv?: string | undefined;
}

/** What is measured of a load, from `fromMs` to before `toMs`, in epoch ms. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What is known beside the calls. */
export interface Beside {
  /** Degraded pages that the server counted in the window: used where the sender does not read answers. */
  readonly degraded: number;
  readonly senderCpu: number;
  readonly senderCores: readonly number[] | undefined;
}

const SAMPLES_FOR_P99 = 1_000;
const SAMPLES_FOR_P999 = 10_000;

/**
 * A load in the words of the report. Calls count, with their latencies, when they were meant to be sent within the window, however late
 * they were answered: leaving the late ones out would flatter. Goodput counts what was answered within it: a server that
 * queues without bound answers everything some day.
 */
export function seenOf(calls: readonly SentCall[], window: Window, beside: Beside): LoadSeen {
  const seconds = (window.toMs - window.fromMs) / 1000;
  const sent = calls.filter(({ intendedMs }) => within(window, intendedMs));
  const ok = sent.filter(({ status }) => status === 'OK');
  const whole = ok.filter(({ degraded }) => degraded !== true);
  const read = sent.some(({ degraded }) => degraded !== undefined);
  const answered = calls.filter(
    ({ status, degraded, endedMs }) => status === 'OK' && degraded !== true && within(window, endedMs),
  );
  const degraded = read ? ok.length - whole.length : Math.min(ok.length, beside.degraded);
  const unseen = read ? 0 : degraded;
  return {
    seconds,
    calls: sent.length,
    good: ok.length - degraded,
    degraded,
    errors: countBy(sent.filter(({ status }) => status !== 'OK').map(({ status }) => status)),
    goodput: seconds > 0 ? Math.max(0, answered.length - unseen) / seconds : 0,
    latencyMs: latencyOf(whole.map(({ intendedMs, endedMs }) => endedMs - intendedMs)),
    senderCpu: beside.senderCpu,
    senderCores: beside.senderCores,
  };
}

/** Calls that ended within the window, well or not: what its CPU was spent on. */
export function endedWithin(calls: readonly SentCall[], window: Window): number {
  return calls.filter(({ status, endedMs }) => status !== 'NOT_SENT' && within(window, endedMs)).length;
}

/** How much later than meant the calls of the window were sent, in ms. */
export function latenessOf(calls: readonly SentCall[], window: Window): { readonly p50: number; readonly p99: number } {
  const late = calls
    .filter(({ intendedMs, status }) => status !== 'NOT_SENT' && within(window, intendedMs))
    .map(({ intendedMs, sentMs }) => sentMs - intendedMs);
  return { p50: percentile(late, 0.5), p99: percentile(late, 0.99) };
}

/** NaN of nothing; the far percentiles only of enough samples. */
export function latencyOf(ms: readonly number[]): Latency {
  return {
    p50: percentile(ms, 0.5),
    p90: percentile(ms, 0.9),
    p99: ms.length >= SAMPLES_FOR_P99 ? percentile(ms, 0.99) : undefined,
    p999: ms.length >= SAMPLES_FOR_P999 ? percentile(ms, 0.999) : undefined,
  };
}

export function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

export function within({ fromMs, toMs }: Window, ms: number): boolean {
  return ms >= fromMs && ms < toMs;
}
