/**
 * What core code may know of tracing. Spans are handed on as values, never through a hidden context: that costs nothing where nothing is
 * traced, and nothing is lost across native calls. Names and attributes are those of the telemetry schema; ids of people are never among them.
 */
export interface Span {
  /** W3C `traceparent` for a call to another process; undefined where there is no trace. */
  readonly traceparent: string | undefined;
  /** `trace_id` and `span_id` for log lines; empty where there is no trace. */
  readonly logFields: Readonly<Record<string, string>>;
  /** A span inside this one. */
  child(name: string, options?: SpanOptions): Span;
  set(attribute: string, value: string | number | boolean): void;
  /** @param failure kind of the error it ended with */
  end(failure?: string): void;
}

export interface SpanOptions {
  readonly kind?: 'internal' | 'client';
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  /** Epoch ms, fractions too; absent = now. For work whose beginning was only known afterwards. */
  readonly startMs?: number;
}

export interface Tracer {
  /**
   * The span of a call that came in, child of the caller's where it sent one.
   * @param traceparent as it came
   */
  server(name: string, traceparent: string | undefined): Span;
}

/** A value, so that no caller asks whether there is a trace. */
export const NO_SPAN: Span = { traceparent: undefined, logFields: {}, child: () => NO_SPAN, set() {}, end() {} };

export const NO_TRACER: Tracer = { server: () => NO_SPAN };
