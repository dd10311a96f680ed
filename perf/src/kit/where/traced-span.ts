import type { SpanKind } from '../report/findings.js';

/** A span of any process, in epoch ms. */
export interface TracedSpan {
  readonly process: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly startMs: number;
  readonly endMs: number;
  /** Of a graph run: which. */
  readonly graph?: string;
}

/** A span with those inside it, in the order of their begins. */
export interface SpanNode {
  readonly span: TracedSpan;
  readonly parent: SpanNode | undefined;
  readonly inner: readonly SpanNode[];
}

export interface Words {
  readonly name: string;
  readonly kind: SpanKind;
}
