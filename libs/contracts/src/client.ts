import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import * as grpc from '@grpc/grpc-js';
import { type ErrorKind, invalidArgument, OnepassError, unavailable } from '@onepass/errors';
import { type Measurements, NO_SPAN, type RpcMethod, type Span, within } from '@onepass/telemetry';
import { healthOf, type ServiceHealth } from './health.js';
import { asBuffer, isUnary, methodPath } from './implement.js';
import { type CallPriority, PRIORITY_HEADER } from './priority.js';
import { DEFAULT_MESSAGE_BYTES } from './server.js';
import { fromStatus, statusCode } from './status.js';
import { PLAINTEXT, type Transport } from './transport.js';

export interface CallOptions {
  /** Cancels the call, also on the server. */
  readonly signal?: AbortSignal;
  /** Epoch ms; passed on the wire as grpc-timeout. */
  readonly deadlineMs?: number;
  /** Absent = interactive. */
  readonly priority?: CallPriority;
  /** Parent of the call's own span, which crosses the wire. */
  readonly span?: Span;
}

export type ServiceClient<S extends GenService<GenServiceMethods>> = {
  readonly [M in keyof S['method']]: (
    request: MessageInitShape<S['method'][M]['input']>,
    options?: CallOptions,
  ) => Promise<MessageShape<S['method'][M]['output']>>;
};

/** A connection to one address, shared by the clients of its services. Made once: channels are not free. */
export interface Connection {
  client<S extends GenService<GenServiceMethods>>(service: S): ServiceClient<S>;
  /** What the server says of a service; it is not counted among the calls. */
  health(service: GenService<GenServiceMethods>, timeoutMs: number): Promise<ServiceHealth>;
  close(): void;
}

export interface ConnectionOptions {
  /** Where the calls are counted. */
  readonly measurements?: Measurements;
  /** Absent: plaintext. */
  readonly transport?: Transport;
}

export function connectTo(address: string, options: ConnectionOptions = {}): Connection {
  const { measurements, transport = PLAINTEXT } = options;
  const channel = new grpc.Client(address, transport.channel(address), {
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': 4 * DEFAULT_MESSAGE_BYTES,
    // A host that has gone answers nothing, not even that it has gone: its connection would be believed in for a quarter of an hour.
    'grpc.keepalive_time_ms': 2_000,
    'grpc.keepalive_timeout_ms': 2_000,
    // A backend that restarts is tried again soon: the callers' deadlines are short.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  });
  return {
    client: (service) => serviceClient(channel, service, { measurements, explain: transport.explain }),
    health: ({ typeName }, timeoutMs) => healthOf(channel, typeName, timeoutMs),
    close: () => channel.close(),
  };
}

/** A client of one service with a connection of its own. */
export function createClient<S extends GenService<GenServiceMethods>>(
  service: S,
  address: string,
  options?: ConnectionOptions,
): ServiceClient<S> & { close(): void } {
  const connection = connectTo(address, options);
  return Object.assign(connection.client(service), { close: connection.close });
}

function serviceClient<S extends GenService<GenServiceMethods>>(
  channel: grpc.Client,
  service: S,
  path: ClientPath,
): ServiceClient<S> {
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (isUnary(method)) methods[method.localName] = unaryCall(channel, method, path);
  }
  return methods as ServiceClient<S>;
}

const identity = (bytes: Buffer): Buffer => bytes;

/** grpc-js keeps the caller's stack of every call for an error that may come; ours have sentences in their place. */
function withoutStack<T>(work: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** What every call of a connection needs. */
interface ClientPath {
  readonly measurements: Measurements | undefined;
  readonly explain: Transport['explain'];
}

function unaryCall(channel: grpc.Client, method: DescMethodUnary, { measurements, explain }: ClientPath) {
  const path = methodPath(method);
  const rpc = { 'rpc.system.name': 'grpc', 'rpc.method': path.slice(1) as RpcMethod } as const;
  return (request: MessageInitShape<typeof method.input>, options: CallOptions = {}): Promise<unknown> => {
    const { signal, deadlineMs } = options;
    if (signal?.aborted) return Promise.reject(OnepassError.from(signal.reason));
    const span = (options.span ?? NO_SPAN).child(rpc['rpc.method'], { kind: 'client', attributes: rpc });
    let bytes: Buffer;
    try {
      bytes = within(span, 'encode_message', () => asBuffer(toBinary(method.input, create(method.input, request))));
    } catch (error) {
      span.end('invalid_argument');
      return Promise.reject(invalidArgument('message', (error as Error).message));
    }
    const started = performance.now();
    const finish = (failure?: ErrorKind) => {
      const attributes = { ...rpc, 'rpc.response.status_code': statusCode(failure) };
      measurements?.record('rpc.client.call.duration', (performance.now() - started) / 1000, attributes);
      span.set('rpc.response.status_code', attributes['rpc.response.status_code']);
      span.end(failure);
    };
    return new Promise((resolve, reject) => {
      const cancel = () => call.cancel();
      const fail = (error: OnepassError) => {
        finish(error.kind);
        reject(error);
      };
      const done = (error: grpc.ServiceError | null, reply?: Buffer) => {
        signal?.removeEventListener('abort', cancel);
        if (error) return fail(fromStatus(error, explain));
        try {
          resolve(within(span, 'decode_message', () => fromBinary(method.output, reply ?? Buffer.alloc(0))));
          finish();
        } catch (cause) {
          fail(OnepassError.from(cause));
        }
      };
      const callOptions: grpc.CallOptions =
        deadlineMs === undefined || deadlineMs === Infinity ? {} : { deadline: deadlineMs };
      const headers = headersOf(options, span);
      let call: grpc.ClientUnaryCall;
      try {
        call = withoutStack(() =>
          channel.makeUnaryRequest(path, identity, identity, bytes, headers, callOptions, done),
        );
      } catch (error) {
        return fail(unavailable('the connection is closed', error));
      }
      signal?.addEventListener('abort', cancel, { once: true });
    });
  };
}

function headersOf({ priority }: CallOptions, { context }: Span): grpc.Metadata {
  const headers = new grpc.Metadata();
  if (priority !== undefined && priority !== 'interactive') headers.set(PRIORITY_HEADER, priority);
  if (context !== undefined) headers.set('traceparent', context.traceparent);
  if (context?.tracestate !== undefined) headers.set('tracestate', context.tracestate);
  return headers;
}
