/** One wrong field of a request: a path such as `outcome_budgets[2].share`, and what is wrong with it. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/**
 * Everything that can go wrong, as a closed union. The mapping to gRPC status and back lives in one place
 * (contracts/status.ts) and is exhaustive, so a new kind does not compile until it has a status.
 */
export type ErrorDetail =
  /** The caller's request is wrong. */
  | { readonly kind: 'invalid_argument'; readonly violations: readonly FieldViolation[] }
  /** The KV a reader was pointed at is no longer there: encode again. */
  | { readonly kind: 'kv_miss'; readonly reason: string }
  /** A KV, embedding or query of another release. */
  | { readonly kind: 'release_mismatch'; readonly expected: string; readonly actual: string }
  /** Too much work waits already. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number }
  /** A dependency is down or not ready. */
  | { readonly kind: 'unavailable' }
  | { readonly kind: 'deadline_exceeded' }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'not_found' }
  /** Who calls is not known, and must be. */
  | { readonly kind: 'unauthenticated' }
  /** The caller is known and may not do this. */
  | { readonly kind: 'permission_denied' }
  /** In the contract, not served yet. */
  | { readonly kind: 'unimplemented' }
  /** A process cannot start: a setting, a port, a file. Never crosses the wire in practice. */
  | { readonly kind: 'startup' }
  /** A defect of ours. The message for the caller says nothing of the inside; the cause goes to the log. */
  | { readonly kind: 'internal' };

export type ErrorKind = ErrorDetail['kind'];

/** The one error class. `message` is for the caller; `cause` is for the log and never crosses the wire. */
export class OnepassError extends Error {
  override readonly name = 'OnepassError';
  readonly detail: ErrorDetail;

  constructor(detail: ErrorDetail, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.detail = detail;
  }

  get kind(): ErrorKind {
    return this.detail.kind;
  }

  /** Anything thrown, as one of ours; what is unknown becomes `internal` with the original as cause. */
  static from(thrown: unknown): OnepassError {
    if (thrown instanceof OnepassError) return thrown;
    return new OnepassError({ kind: 'internal' }, 'internal error', { cause: thrown });
  }
}

/** One wrong field: the message reads `field: description`. */
export function invalidArgument(field: string, description: string): OnepassError {
  return invalidArguments([{ field, description }]);
}

/** Several wrong fields at once. `violations` must not be empty. */
export function invalidArguments(violations: readonly FieldViolation[]): OnepassError {
  const message = violations.map((v) => `${v.field}: ${v.description}`).join('; ');
  return new OnepassError({ kind: 'invalid_argument', violations }, message);
}

export function releaseMismatch(expected: string, actual: string, what: string): OnepassError {
  return new OnepassError(
    { kind: 'release_mismatch', expected, actual },
    `${what} is of release "${actual}", this server serves "${expected}"`,
  );
}

export function kvMiss(reason: string): OnepassError {
  return new OnepassError({ kind: 'kv_miss', reason }, `KV miss: ${reason}`);
}

export function unimplemented(sentence: string): OnepassError {
  return new OnepassError({ kind: 'unimplemented' }, sentence);
}

export function unavailable(message: string, cause?: unknown): OnepassError {
  return new OnepassError({ kind: 'unavailable' }, message, cause === undefined ? undefined : { cause });
}

/** Made without a stack: refusing must stay cheap when there is most to refuse, and where it was made says nothing. */
export function overloaded(retryAfterMs: number, message: string): OnepassError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new OnepassError({ kind: 'overloaded', retryAfterMs }, message);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** A reason not to start, in one sentence that names the setting, port or file. */
export function startupError(message: string, cause?: unknown): OnepassError {
  return new OnepassError({ kind: 'startup' }, message, cause === undefined ? undefined : { cause });
}
