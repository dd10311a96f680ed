import { randomBytes } from 'node:crypto';
import { type Span, type SpanOptions, type TraceContext, traceparentOf } from '@onepass/telemetry';
import type { TracedSpan } from './traced-span.js';

const SAMPLED = 1;

/** A caller's own spans, kept in a list. Its trace is recorded by whoever it calls. */
export class KeptSpan implements Span {
  readonly recorded = true;
  readonly context: TraceContext;
  readonly logFields = {};
  readonly #clock: () => number;
  readonly #kept: TracedSpan[];
  readonly #own: Omit<TracedSpan, 'endMs'>;
  #ended = false;

  /** A trace of its own. @param kept where its spans are put as they end @param clock epoch ms */
  static root(name: string, kept: TracedSpan[], clock: () => number): KeptSpan {
    const ids = { traceId: randomBytes(16).toString('hex'), parentSpanId: '' };
    return new KeptSpan({ ...ids, name, kind: 'internal', startMs: clock() }, kept, clock);
  }

  private constructor(own: Omit<TracedSpan, 'endMs' | 'spanId' | 'process'>, kept: TracedSpan[], clock: () => number) {
    const spanId = randomBytes(8).toString('hex');
    this.#own = { ...own, spanId, process: 'client' };
    this.#kept = kept;
    this.#clock = clock;
    this.context = { traceparent: traceparentOf({ traceId: own.traceId, spanId, flags: SAMPLED }) };
  }

  get traceId(): string {
    return this.#own.traceId;
  }

  child(name: string, { kind = 'internal', startMs = this.#clock() }: SpanOptions = {}): KeptSpan {
    const { traceId, spanId } = this.#own;
    return new KeptSpan({ traceId, parentSpanId: spanId, name, kind, startMs }, this.#kept, this.#clock);
  }

  set(): void {}

  end(_failure?: string, endMs = this.#clock()): void {
    if (!this.#ended) this.#kept.push({ ...this.#own, endMs });
    this.#ended = true;
  }
}

/**
 * A clock in epoch ms that agrees with those of processes which have just started, to some microseconds: the two clocks that it is made of
 * drift apart in a process that lives long, as a bench does.
 */
export function freshClock(): () => number {
  // Date.now() tells whole milliseconds: the moment at which one begins is known best. Of several, the one that was seen soonest.
  const origins = Array.from({ length: 5 }, () => {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    return now - performance.now();
  });
  const origin = Math.max(...origins);
  return () => origin + performance.now();
}
