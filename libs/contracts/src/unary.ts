import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import type * as grpc from '@grpc/grpc-js';
import { invalidArgument, OnepassError, unimplemented } from '@onepass/errors';
import { type Logger, type Measurements, type RpcMethod, type Span, type Tracer, within } from '@onepass/telemetry';
import { accessLog } from './access-log.js';
import type { Faults } from './faults.js';
import type { CallGuard, Grant } from './guard.js';
import { type AnyHandler, asBuffer, type Implementation, isUnary, methodPath } from './implement.js';
import { peerOf } from './peer.js';
import { CallUnderWay, header } from './server-call.js';
import { statusCode, toStatus } from './status.js';

/** What every call of a server passes through. */
export interface CallPath {
  readonly logger: Logger;
  readonly measurements: Measurements;
  readonly tracer: Tracer;
  readonly guard: CallGuard;
  readonly faults: Faults | undefined;
  /** Largest request, in bytes. */
  readonly limit: number;
}

/** Adds a service's methods to a grpc-js server. */
export function addImplementation(server: grpc.Server, implementation: Implementation, path: CallPath): void {
  const definition: Record<string, grpc.MethodDefinition<Buffer, Uint8Array>> = {};
  const untyped: grpc.UntypedServiceImplementation = {};
  for (const method of implementation.service.methods) {
    if (!isUnary(method)) throw new Error(`${method.name} is not unary`);
    definition[method.name] = {
      path: methodPath(method),
      requestStream: false,
      responseStream: false,
      requestSerialize: (bytes: Buffer) => bytes,
      // Decoding happens in the handler, where a broken message can be answered with a sentence.
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: asBuffer,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    const handler = implementation.handlers[method.localName] ?? unservedHandler(method, implementation);
    untyped[method.name] = unary(method, handler, path);
  }
  server.addService(definition, untyped);
}

function unservedHandler(method: DescMethodUnary, { unserved }: Implementation): AnyHandler {
  const sentence = unserved[method.localName] ?? `${method.name} is in the contract but not served yet`;
  return () => {
    throw unimplemented(sentence);
  };
}

/** Guard, decode, handle, encode; a span and a count around all of it. */
function unary(method: DescMethodUnary, handler: AnyHandler, path: CallPath) {
  const { logger, measurements, tracer, guard } = path;
  const fullName = methodPath(method);
  const name = fullName.slice(1) as RpcMethod;
  const logFailure = accessLog(logger, name);
  const finish = (span: Span, started: number, error?: OnepassError) => {
    const code = statusCode(error?.kind);
    measurements.record('rpc.server.call.duration', (performance.now() - started) / 1000, {
      'rpc.system.name': 'grpc',
      'rpc.method': name,
      'rpc.response.status_code': code,
    });
    span.set('rpc.response.status_code', code);
    span.end(error?.kind);
  };
  return async (
    call: grpc.ServerUnaryCall<Buffer, Uint8Array>,
    callback: grpc.sendUnaryData<Uint8Array>,
  ): Promise<void> => {
    const started = performance.now();
    const span = tracer.server(name, header(call.metadata, 'traceparent'), header(call.metadata, 'tracestate'));
    let grant: Grant | undefined;
    try {
      grant = guard.admit(fullName, peerOf(call));
      callback(null, await answer({ method, handler, path }, call, { grant, span }));
      finish(span, started);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      callback(toStatus(error));
      finish(span, started, error);
      logFailure(error, { span, caller: grant?.caller.name, ms: performance.now() - started });
    } finally {
      grant?.release();
    }
  };
}

async function answer(
  { method, handler, path }: { method: DescMethodUnary; handler: AnyHandler; path: CallPath },
  call: grpc.ServerUnaryCall<Buffer, Uint8Array>,
  { grant, span }: { grant: Grant; span: Span },
): Promise<Uint8Array> {
  const { faults, limit } = path;
  const underWay = new CallUnderWay(call, grant.caller, span);
  await faults?.before(method.name, underWay.signal);
  const request = within(span, 'decode_message', () => decode(method.input, call.request, limit));
  const response = (await handler(request, underWay)) as MessageInitShape<DescMessage> | Uint8Array;
  underWay.answered();
  const isEncoded = response instanceof Uint8Array;
  if (isEncoded && faults === undefined) return response;
  return within(span, 'encode_message', () => {
    const message = isEncoded ? fromBinary(method.output, response) : create(method.output, response);
    return toBinary(method.output, faults ? faults.after(method.name, message) : message);
  });
}

function decode(schema: DescMessage, bytes: Buffer, limit: number): unknown {
  if (bytes.length > limit) throw invalidArgument('message', `${bytes.length} bytes is over the limit of ${limit}`);
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new OnepassError(
      {
        kind: 'invalid_argument',
        violations: [{ field: 'message', description: `is not a valid ${schema.typeName}` }],
      },
      `message: is not a valid ${schema.typeName}`,
      { cause: error },
    );
  }
}
