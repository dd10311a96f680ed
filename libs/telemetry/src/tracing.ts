import type { RpcMethod, SpanName } from './schema/index.js';

/**
 * What core code may know of tracing. Spans are handed on as values, never through a hidden context: that costs nothing where nothing is
 * traced, and nothing is lost across native calls. Names and attributes are those of the telemetry schema; ids of people are never among them.
 */
export interface Span {
  /** W3C trace context for a call to another process; undefined where there is no trace. */
  readonly context: TraceContext | undefined;
  /** Whether anybody will see it: work that only makes spans is left out where not. */
  readonly recorded: boolean;
  /** `trace_id` and `span_id` for log lines; empty where there is no trace. */
  readonly logFields: Readonly<Record<string, string>>;
  /** A span inside this one. */
  child(name: SpanName | RpcMethod, options?: SpanOptions): Span;
  set(attribute: string, value: string | number | boolean): void;
  /**
   * A second end changes nothing.
   * @param failure kind of the error it ended with
   * @param endMs epoch ms, fractions too; absent = now
   */
  end(failure?: string, endMs?: number): void;
}

/** As it crosses the wire. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string | undefined;
}

export interface SpanOptions {
  readonly kind?: 'internal' | 'client';
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  /** As `epochMs` says it; absent = now. For work whose beginning was only known afterwards. */
  readonly startMs?: number;
}

export interface Tracer {
  /**
   * The span of a call that came in, child of the caller's where it sent one.
   * @param traceparent as it came
   * @param tracestate as it came
   */
  server(name: RpcMethod, traceparent: string | undefined, tracestate: string | undefined): Span;
}

/** A value, so that no caller asks whether there is a trace. */
export const NO_SPAN: Span = {
  context: undefined,
  recorded: false,
  logFields: {},
  child: () => NO_SPAN,
  set() {},
  end() {},
};

/**
 * Does synchronous work with a span around it. Of a span that is not recorded nothing is made, no clock is read: hot paths pay for one look.
 */
export function within<T>(span: Span, name: SpanName, work: () => T): T {
  if (!span.recorded) return work();
  const inner = span.child(name);
  try {
    return work();
  } finally {
    inner.end();
  }
}

/** Traces nothing itself, but hands on the trace context of its callers, so that their traces do not end here and log lines name them. */
export const NO_TRACER: Tracer = {
  server: (_, traceparent, tracestate) =>
    traceparent === undefined ? NO_SPAN : fromTraceparent(traceparent, tracestate),
};

/** As much of it as every vendor must hand on, in characters that a header may have: more would be sent to every stage. */
const TRACESTATE = /^[ -~]{1,512}$/;

/** A span that somebody else records, by its W3C trace context; `NO_SPAN` for what is none. */
export function fromTraceparent(traceparent: string, tracestate = ''): Span {
  const ids = parseTraceparent(traceparent);
  if (ids === undefined) return NO_SPAN;
  const context = { traceparent: traceparentOf(ids), tracestate: TRACESTATE.test(tracestate) ? tracestate : undefined };
  return new PassedOnSpan(context, ids);
}

export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** Stands for a span that is not recorded here; so are those inside it. */
export class PassedOnSpan implements Span {
  readonly context: TraceContext;
  readonly recorded = false;
  readonly #ids: TraceIds;

  constructor(context: TraceContext, ids: TraceIds) {
    this.context = context;
    this.#ids = ids;
  }

  get logFields(): Record<string, string> {
    return { trace_id: this.#ids.traceId, span_id: this.#ids.spanId };
  }

  child(): Span {
    return this;
  }

  set(): void {}

  end(): void {}
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for what the W3C recommendation calls invalid: a trace is begun anew then. */
export function parseTraceparent(header: string): TraceIds | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(header) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

export function traceparentOf({ traceId, spanId, flags }: TraceIds): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`;
}

/** Now, in epoch ms with fractions: what the beginnings and ends of spans are told in. */
export function epochMs(): number {
  const now = clockOrigin + performance.now();
  const wall = Date.now();
  // The two clocks drift apart in a process that lives long; spans of several processes must stay in step.
  if (Math.abs(now - wall) > DRIFT_MS) clockOrigin = wall - performance.now();
  return clockOrigin + performance.now();
}

const DRIFT_MS = 2;
let clockOrigin = performance.timeOrigin;
