import type * as grpc from '@grpc/grpc-js';
import { OnepassError } from '@onepass/errors';
import type { Span } from '@onepass/telemetry';
import type { Caller } from './guard.js';
import { type CallPriority, PRIORITY_HEADER, priorityOf } from './priority.js';

/** What a handler knows of its call. */
export interface ServerCall {
  /** Aborted when the caller has gone or its deadline has passed; the reason is an OnepassError. */
  readonly signal: AbortSignal;
  /** Epoch ms; Infinity when the caller gave none. */
  readonly deadlineMs: number;
  /** As the caller's header says, at most what the caller may have; a frontend may say it in the request instead. */
  readonly priority: CallPriority;
  readonly caller: Caller;
  /** The call's span: parent of whatever is done for it. */
  readonly span: Span;
  remainingMs(): number;
}

/** One call under way. */
export class CallUnderWay implements ServerCall {
  readonly deadlineMs: number;
  readonly caller: Caller;
  readonly span: Span;
  readonly #call: grpc.ServerUnaryCall<Buffer, Uint8Array>;
  #controller: AbortController | undefined;
  readonly #abort = () => this.#controller?.abort(goneError(this.deadlineMs));

  constructor(call: grpc.ServerUnaryCall<Buffer, Uint8Array>, caller: Caller, span: Span) {
    this.#call = call;
    this.caller = caller;
    this.span = span;
    this.deadlineMs = Number(call.getDeadline());
  }

  get priority(): CallPriority {
    return this.caller.priority(priorityOf(header(this.#call.metadata, PRIORITY_HEADER)));
  }

  /** Made when asked for: most calls of a stage finish without anybody waiting on it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#call.cancelled) this.#abort();
      else this.#call.on('cancelled', this.#abort);
    }
    return this.#controller.signal;
  }

  remainingMs(): number {
    return this.deadlineMs - Date.now();
  }

  /** grpc-js says `cancelled` of answered calls too, when their stream closes: that is nobody's business any more. */
  answered(): void {
    this.#call.off('cancelled', this.#abort);
  }
}

/** The first value of a text header. */
export function header(metadata: grpc.Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return value === undefined ? undefined : value.toString();
}

function goneError(deadlineMs: number): OnepassError {
  return Date.now() >= deadlineMs
    ? new OnepassError({ kind: 'deadline_exceeded' }, 'the deadline has passed')
    : new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
}
