import {
  createTraceState,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from './logger.js';
import type { Measurements } from './measurements.js';
import { rarely } from './rarely.js';
import type { Resource } from './resource.js';
import type { RpcMethod, SpanName } from './schema/index.js';
import {
  epochMs,
  NO_SPAN,
  PassedOnSpan,
  parseTraceparent,
  type Span,
  type SpanOptions,
  type TraceContext,
  type Tracer,
  traceparentOf,
} from './tracing.js';

/** This module loads the SDK of OpenTelemetry: it is imported only where tracing is on. */
export interface OtlpOptions {
  /** Where the collector takes OTLP over HTTP, in protobuf; `/v1/traces` is put behind it. */
  readonly endpoint: URL;
  /** Share of the traces begun here that are recorded; a caller's own decision is followed. */
  readonly ratio: number;
  readonly resource: Resource;
  readonly logger: Logger;
  readonly measurements: Measurements;
}

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what is pending, for at most `FLUSH_MS`. */
  close(): Promise<void>;
}

/** Spans that wait for their export; those of more are dropped. */
const QUEUE = 8_192;
/** Serialising a batch takes the event loop: 256 spans about 2 ms. */
const BATCH = 256;
const DELAY_MS = 1_000;
const FLUSH_MS = 2_000;

export function startTracing({ endpoint, ratio, resource, logger, measurements }: OtlpOptions): Tracing {
  const url = new URL('v1/traces', endpoint.href.replace(/\/?$/, '/')).href;
  const exporter = counted(new OTLPTraceExporter({ url }), { url, logger: rarely(logger), measurements });
  const provider = new TracerProvider({
    resource: resourceFromAttributes(resource),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: QUEUE,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: DELAY_MS,
      }),
    ],
  });
  return { tracer: new OtlpTracer(provider, measurements), close: () => closeWithin(provider, FLUSH_MS) };
}

async function closeWithin(provider: TracerProvider, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  // What could not be sent has been counted and logged.
  await Promise.race([provider.shutdown().catch(() => {}), late]);
  clearTimeout(timer);
}

/** A collector that is away costs a line now and then, and nobody waits for it. */
function counted(
  exporter: SpanExporter,
  { url, logger, measurements }: { url: string; logger: Logger; measurements: Measurements },
): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined || result.code !== 0;
        const state = failed ? 'failed' : 'exported';
        measurements.count('onepass.trace.spans', { 'onepass.span.state': state }, spans.length);
        if (failed) logger.warn({ url, why: result.error?.message }, 'spans could not be sent to the collector');
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

type OtelTracer = ReturnType<TracerProvider['getTracer']>;

class OtlpTracer implements Tracer {
  readonly #tracer: OtelTracer;
  readonly #measurements: Measurements;

  constructor(provider: TracerProvider, measurements: Measurements) {
    this.#tracer = provider.getTracer('onepass');
    this.#measurements = measurements;
  }

  server(name: RpcMethod, traceparent: string | undefined, tracestate: string | undefined): Span {
    const ids = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    const carried = ids === undefined ? undefined : tracestate;
    const parent =
      ids === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, {
            traceId: ids.traceId,
            spanId: ids.spanId,
            traceFlags: ids.flags,
            isRemote: true,
            ...(carried !== undefined && { traceState: createTraceState(carried) }),
          });
    const attributes = { 'rpc.system.name': 'grpc', 'rpc.method': name };
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, startTime: epochMs(), attributes }, parent);
    if (span.isRecording()) return new RecordedSpan(span, SpanKind.SERVER, this.#tracer, this.#measurements);
    // Nobody else knows of this trace: a header that is another one in every call costs the calls more than all else of tracing.
    if (ids === undefined) return NO_SPAN;
    const { traceId, spanId, traceFlags } = span.spanContext();
    return new PassedOnSpan(contextOf(span), { traceId, spanId, flags: traceFlags });
  }
}

/** Error kinds that are a fault of the server's, as the conventions for gRPC have it; the others are its caller's. */
const SERVER_FAULTS = new Set(['deadline_exceeded', 'unimplemented', 'internal', 'unavailable']);

class RecordedSpan implements Span {
  readonly recorded = true;
  readonly #span: OtelSpan;
  readonly #kind: SpanKind;
  readonly #tracer: OtelTracer;
  readonly #measurements: Measurements;

  constructor(span: OtelSpan, kind: SpanKind, tracer: OtelTracer, measurements: Measurements) {
    this.#span = span;
    this.#kind = kind;
    this.#tracer = tracer;
    this.#measurements = measurements;
  }

  get context(): TraceContext {
    return contextOf(this.#span);
  }

  get logFields(): Record<string, string> {
    const { traceId, spanId } = this.#span.spanContext();
    return { trace_id: traceId, span_id: spanId };
  }

  child(name: SpanName | RpcMethod, { kind: word, attributes = {}, startMs }: SpanOptions = {}): Span {
    const kind = word === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const options = { kind, attributes, startTime: startMs ?? epochMs() };
    const span = this.#tracer.startSpan(name, options, trace.setSpan(ROOT_CONTEXT, this.#span));
    return new RecordedSpan(span, kind, this.#tracer, this.#measurements);
  }

  set(attribute: string, value: string | number | boolean): void {
    this.#span.setAttribute(attribute, value);
  }

  end(failure?: string, endMs = epochMs()): void {
    if (!this.#span.isRecording()) return;
    if (failure !== undefined) {
      this.#span.setAttribute('error.type', failure);
      const bad = this.#kind !== SpanKind.SERVER || SERVER_FAULTS.has(failure);
      if (bad) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end(endMs);
    this.#measurements.count('onepass.trace.spans', { 'onepass.span.state': 'ended' });
  }
}

function contextOf(span: OtelSpan): TraceContext {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  return { traceparent: traceparentOf({ traceId, spanId, flags: traceFlags }), tracestate: traceState?.serialize() };
}
