import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack, DurationSchema } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import { type ErrorDetail, type ErrorKind, OnepassError } from '@onepass/errors';
import type { AttributesOf } from '@onepass/telemetry';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './gen/google/rpc/error_details_pb.js';
import { StatusSchema } from './gen/google/rpc/status_pb.js';

/** The trailer that carries google.rpc.Status, known to every gRPC client library. */
const DETAILS_TRAILER = 'grpc-status-details-bin';
const DOMAIN = 'onepass';

/** The only place where an error kind meets a gRPC status. */
const STATUS_OF_KIND: Readonly<Record<ErrorKind, grpc.status>> = {
  invalid_argument: grpc.status.INVALID_ARGUMENT,
  kv_miss: grpc.status.NOT_FOUND,
  release_mismatch: grpc.status.FAILED_PRECONDITION,
  overloaded: grpc.status.RESOURCE_EXHAUSTED,
  unavailable: grpc.status.UNAVAILABLE,
  deadline_exceeded: grpc.status.DEADLINE_EXCEEDED,
  cancelled: grpc.status.CANCELLED,
  not_found: grpc.status.NOT_FOUND,
  unauthenticated: grpc.status.UNAUTHENTICATED,
  permission_denied: grpc.status.PERMISSION_DENIED,
  unimplemented: grpc.status.UNIMPLEMENTED,
  startup: grpc.status.FAILED_PRECONDITION,
  internal: grpc.status.INTERNAL,
};

type StatusCode = AttributesOf<'rpc.server.call.duration'>['rpc.response.status_code'];

/** A status as telemetry names it; absent = a call that went well. */
export function statusCode(kind?: ErrorKind): StatusCode {
  return kind === undefined ? 'OK' : (grpc.status[STATUS_OF_KIND[kind]] as StatusCode);
}

/** What a server answers a failed call with: status, sentence, and google.rpc details in the trailer. */
export function toStatus(error: OnepassError): { code: grpc.status; details: string; metadata: grpc.Metadata } {
  const code = STATUS_OF_KIND[error.kind];
  const metadata = new grpc.Metadata();
  metadata.set(DETAILS_TRAILER, error.kind === 'overloaded' ? refusalTrailer(code, error) : trailer(code, error));
  return { code, details: error.message, metadata };
}

function trailer(code: grpc.status, { message, detail }: OnepassError): Buffer {
  return Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code, message, details: detailMessages(detail) })));
}

/** Refusals come in floods of the same few: made once, they cost least when there are most. */
const refusals = new Map<string, Buffer>();
const REFUSALS_KEPT = 1_000;

function refusalTrailer(code: grpc.status, error: OnepassError): Buffer {
  const { detail, message } = error;
  const key = `${detail.kind === 'overloaded' ? Math.ceil(detail.retryAfterMs) : 0} ${message}`;
  const kept = refusals.get(key);
  if (kept !== undefined) return kept;
  if (refusals.size >= REFUSALS_KEPT) refusals.clear();
  const made = trailer(code, error);
  refusals.set(key, made);
  return made;
}

function detailMessages(detail: ErrorDetail): Any[] {
  const metadata: Record<string, string> = {};
  const more: Any[] = [];
  switch (detail.kind) {
    case 'invalid_argument':
      more.push(
        anyPack(
          BadRequestSchema,
          create(BadRequestSchema, { fieldViolations: detail.violations.map((v) => ({ ...v })) }),
        ),
      );
      break;
    case 'kv_miss':
      metadata.reason = detail.reason;
      break;
    case 'release_mismatch':
      metadata.expected = detail.expected;
      metadata.actual = detail.actual;
      break;
    case 'overloaded':
      more.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationOf(detail.retryAfterMs) })));
      break;
    default:
      break;
  }
  const info = create(ErrorInfoSchema, { reason: detail.kind.toUpperCase(), domain: DOMAIN, metadata });
  return [anyPack(ErrorInfoSchema, info), ...more];
}

/** Rounded up to whole milliseconds, so that nobody comes back too early. */
function durationOf(ms: number) {
  const whole = Math.ceil(ms);
  return create(DurationSchema, { seconds: BigInt(Math.floor(whole / 1000)), nanos: (whole % 1000) * 1_000_000 });
}

/**
 * A failed call as one of ours: by our details where the server sent them, by its status otherwise.
 * @param explain what to make of the message of a call that no server answered
 */
export function fromStatus(error: grpc.ServiceError, explain = (message: string) => message): OnepassError {
  const message = error.code === grpc.status.UNAVAILABLE ? explain(error.details) : error.details;
  return new OnepassError(detailOf(error), message, { cause: error });
}

function detailOf(error: grpc.ServiceError): ErrorDetail {
  const messages = trailerDetails(error);
  const info = messages.map((any) => anyUnpack(any, ErrorInfoSchema)).find((m) => m?.domain === DOMAIN);
  const kind = kindNamed(info?.reason) ?? kindOfStatus(error.code);
  switch (kind) {
    case 'invalid_argument': {
      const violations = messages.flatMap((any) => anyUnpack(any, BadRequestSchema)?.fieldViolations ?? []);
      return { kind, violations: violations.map(({ field, description }) => ({ field, description })) };
    }
    case 'kv_miss':
      return { kind, reason: info?.metadata.reason ?? '' };
    case 'release_mismatch':
      return { kind, expected: info?.metadata.expected ?? '', actual: info?.metadata.actual ?? '' };
    case 'overloaded': {
      const delay = messages.map((any) => anyUnpack(any, RetryInfoSchema)).find((m) => m !== undefined)?.retryDelay;
      return { kind, retryAfterMs: delay ? Number(delay.seconds) * 1000 + delay.nanos / 1_000_000 : 0 };
    }
    default:
      return { kind };
  }
}

/** Whether a call failed without an answer of any server: it could not be sent, or its connection was lost. */
export function isUnreachable({ kind, cause }: OnepassError): boolean {
  return kind === 'unavailable' && isServiceError(cause) && cause.metadata.get(DETAILS_TRAILER).length === 0;
}

function isServiceError(cause: unknown): cause is grpc.ServiceError {
  return cause instanceof Error && 'metadata' in cause && cause.metadata instanceof grpc.Metadata;
}

function trailerDetails(error: grpc.ServiceError): Any[] {
  const bytes = error.metadata?.get(DETAILS_TRAILER)[0];
  if (!(bytes instanceof Buffer)) return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return []; // Not ours to judge: a peer's broken trailer must not hide its status.
  }
}

function kindNamed(reason: string | undefined): ErrorKind | undefined {
  const kind = reason?.toLowerCase();
  return kind !== undefined && kind in STATUS_OF_KIND ? (kind as ErrorKind) : undefined;
}

/** The kind of a bare status, as another implementation or the transport itself sends it. */
function kindOfStatus(code: grpc.status): Exclude<ErrorKind, 'kv_miss' | 'startup'> {
  switch (code) {
    case grpc.status.INVALID_ARGUMENT:
      return 'invalid_argument';
    case grpc.status.FAILED_PRECONDITION:
      return 'release_mismatch';
    case grpc.status.RESOURCE_EXHAUSTED:
      return 'overloaded';
    case grpc.status.UNAVAILABLE:
      return 'unavailable';
    case grpc.status.DEADLINE_EXCEEDED:
      return 'deadline_exceeded';
    case grpc.status.CANCELLED:
      return 'cancelled';
    case grpc.status.NOT_FOUND:
      return 'not_found';
    case grpc.status.UNAUTHENTICATED:
      return 'unauthenticated';
    case grpc.status.PERMISSION_DENIED:
      return 'permission_denied';
    case grpc.status.UNIMPLEMENTED:
      return 'unimplemented';
    default:
      return 'internal';
  }
}

/**
 * A failed inner call, as the caller of the outer one may see it: a stage may not speak INVALID_ARGUMENT, NOT_FOUND and the like in the
 * caller's name, so these become `internal`; the original is the cause.
 */
export function asInner(error: OnepassError): OnepassError {
  switch (error.kind) {
    case 'overloaded':
    case 'unavailable':
    case 'deadline_exceeded':
    case 'cancelled':
    case 'release_mismatch':
    case 'internal':
      return error;
    default:
      return new OnepassError({ kind: 'internal' }, 'internal error', { cause: error });
  }
}
