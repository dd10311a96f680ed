import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import * as grpc from '@grpc/grpc-js';
import { invalidArgument, OnepassError, startupError, unimplemented } from '@onepass/errors';
import type { Logger, Measurements } from '@onepass/telemetry';
import { HealthImplementation } from 'grpc-health-check';
import { addReflection } from './reflection.js';
import { toStatus } from './status.js';

/** Largest request a method reads, in bytes. */
export const DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024;
/**
 * The transport reads this many times more, so that a message somewhat over the limit is refused by us, as INVALID_ARGUMENT with a sentence,
 * and only one far over it by the transport (RESOURCE_EXHAUSTED) before it is held in memory.
 */
const TRANSPORT_ALLOWANCE = 4;

// grpc-js prints its own lines for what we answer or throw as a sentence.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

/** What a handler knows of its call. */
export interface ServerCall {
  /** Aborted when the caller has gone or its deadline has passed; the reason is an OnepassError. */
  readonly signal: AbortSignal;
  /** Epoch ms; Infinity when the caller gave none. */
  readonly deadlineMs: number;
  remainingMs(): number;
}

type UnaryMethods<S extends GenService<GenServiceMethods>> = S['method'];
export type Handlers<S extends GenService<GenServiceMethods>> = {
  readonly [M in keyof UnaryMethods<S>]?: (
    request: MessageShape<UnaryMethods<S>[M]['input']>,
    call: ServerCall,
  ) => Promise<MessageInitShape<UnaryMethods<S>[M]['output']>> | MessageInitShape<UnaryMethods<S>[M]['output']>;
};

type AnyHandler = (request: unknown, call: ServerCall) => unknown;

/** A service with its handlers, ready for startServer. */
export interface Implementation {
  readonly service: GenService<GenServiceMethods>;
  readonly handlers: Readonly<Record<string, AnyHandler | undefined>>;
  readonly unserved: Readonly<Record<string, string | undefined>>;
}

/**
 * Pairs a service with typed handlers. A method without one answers UNIMPLEMENTED with its sentence in `unserved`.
 */
export function implement<S extends GenService<GenServiceMethods>>(
  service: S,
  handlers: Handlers<S>,
  options: { unserved?: { readonly [M in keyof UnaryMethods<S>]?: string } } = {},
): Implementation {
  return { service, handlers: handlers as Implementation['handlers'], unserved: options.unserved ?? {} };
}

export interface ServerOptions {
  readonly role: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly services: readonly Implementation[];
  readonly logger: Logger;
  readonly measurements: Measurements;
  readonly messageBytes?: number;
}

export interface RunningServer {
  readonly address: string;
  readonly port: number;
  /** What health answers, for "" and for every service. Starts as NOT_SERVING. */
  setServing(serving: boolean): void;
  /** Stops taking calls, lets those in flight finish for up to `graceMs`, then ends them. */
  stop(graceMs: number): Promise<void>;
}

/** @throws OnepassError `startup` naming the address when it cannot be bound. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limit = options.messageBytes ?? DEFAULT_MESSAGE_BYTES;
  const server = new grpc.Server({
    'grpc.max_receive_message_length': limit * TRANSPORT_ALLOWANCE,
    'grpc.max_send_message_length': limit * TRANSPORT_ALLOWANCE,
    // Channelz keeps records of every connection that nobody here reads.
    'grpc.enable_channelz': 0,
    // The default, SO_REUSEPORT, would let a second process take a port in use without a word.
    'grpc.so_reuseport': 0,
  });
  const health = new HealthImplementation();
  for (const implementation of options.services) addImplementation(server, implementation, limit, options);
  health.addToServer(server);
  addReflection(
    server,
    options.services.map((s) => s.service),
  );
  const port = await bind(server, options);
  const setServing = (serving: boolean) => {
    const status = serving ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', ...options.services.map((s) => s.service.typeName)]) health.setStatus(name, status);
  };
  setServing(false);
  return { address: `${options.host}:${port}`, port, setServing, stop: (graceMs) => stop(server, setServing, graceMs) };
}

function bind(server: grpc.Server, { host, port, role }: ServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(startupError(`${role} cannot listen on ${host}:${port}: ${bindProblem(error.message)}`, error));
      else resolve(bound);
    });
  });
}

function bindProblem(message: string): string {
  if (message.includes('EADDRINUSE')) return 'the port is in use';
  if (message.includes('EACCES')) return 'permission denied';
  return message;
}

async function stop(server: grpc.Server, setServing: (serving: boolean) => void, graceMs: number): Promise<void> {
  setServing(false);
  let timer: NodeJS.Timeout | undefined;
  const drained = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([drained, late]);
  clearTimeout(timer);
  server.forceShutdown();
}

function addImplementation(
  server: grpc.Server,
  implementation: Implementation,
  limit: number,
  options: ServerOptions,
): void {
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
    untyped[method.name] = unary(method, handler, limit, options);
  }
  server.addService(definition, untyped);
}

/** grpc-js writes Buffers only; this is a view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** All of Onepass is unary: a page, a write, an answer. */
export function isUnary(method: DescMethod): method is DescMethod & DescMethodUnary {
  return method.methodKind === 'unary';
}

export function methodPath(method: { parent: { typeName: string }; name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function unservedHandler(method: DescMethodUnary, { unserved }: Implementation): AnyHandler {
  const sentence = unserved[method.localName] ?? `${method.name} is in the contract but not served yet`;
  return () => {
    throw unimplemented(sentence);
  };
}

function unary(method: DescMethodUnary, handler: AnyHandler, limit: number, options: ServerOptions) {
  const { logger, measurements } = options;
  const name = `${method.parent.name}/${method.name}`;
  return async (
    call: grpc.ServerUnaryCall<Buffer, Uint8Array>,
    callback: grpc.sendUnaryData<Uint8Array>,
  ): Promise<void> => {
    const underWay = new CallUnderWay(call);
    try {
      const request = decode(method.input, call.request, limit);
      const response = await handler(request, underWay);
      underWay.answered();
      callback(null, toBinary(method.output, create(method.output, response as MessageInitShape<DescMessage>)));
      measurements.count('rpc_ok');
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      if (error.kind === 'internal') logger.error({ method: name, err: error.cause ?? error }, 'call failed');
      measurements.count(`rpc_${error.kind}`);
      callback(toStatus(error));
    }
  };
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

/** One call under way. */
class CallUnderWay implements ServerCall {
  readonly deadlineMs: number;
  readonly #call: grpc.ServerUnaryCall<Buffer, Uint8Array>;
  #controller: AbortController | undefined;
  readonly #abort = () => this.#controller?.abort(goneError(this.deadlineMs));

  constructor(call: grpc.ServerUnaryCall<Buffer, Uint8Array>) {
    this.#call = call;
    this.deadlineMs = Number(call.getDeadline());
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

function goneError(deadlineMs: number): OnepassError {
  return Date.now() >= deadlineMs
    ? new OnepassError({ kind: 'deadline_exceeded' }, 'the deadline has passed')
    : new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
}
