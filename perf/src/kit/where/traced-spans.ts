import type { ReceivedSpan } from '../../telemetry/otlp-receiver.js';
import type { TracedSpan } from './traced-span.js';

const NS_PER_MS = 1_000_000n;

/** Spans as they were exported, in epoch ms with fractions. */
export function tracedSpans(received: readonly ReceivedSpan[]): TracedSpan[] {
  return received.map(({ service, startNs, endNs, attributes, ...ids }) => {
    const { traceId, spanId, parentSpanId, name, kind } = ids;
    const graph = attributes['onepass.graph'];
    const process = service.replace(/^onepass-/, '');
    const times = { startMs: epochMs(startNs), endMs: epochMs(endNs) };
    return {
      ...{ process, traceId, spanId, parentSpanId, name, kind, ...times },
      ...(graph !== undefined && { graph: String(graph) }),
    };
  });
}

const epochMs = (ns: bigint) => Number(ns / NS_PER_MS) + Number(ns % NS_PER_MS) / 1e6;
