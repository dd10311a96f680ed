import type { DescMessage, DescMethod, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { GenService, GenServiceMethods } from '@bufbuild/protobuf/codegenv2';
import type { ServerCall } from './server-call.js';

type UnaryMethods<S extends GenService<GenServiceMethods>> = S['method'];
export type Handlers<S extends GenService<GenServiceMethods>> = {
  readonly [M in keyof UnaryMethods<S>]?: (
    request: MessageShape<UnaryMethods<S>[M]['input']>,
    call: ServerCall,
  ) => Promise<Answer<UnaryMethods<S>[M]['output']>> | Answer<UnaryMethods<S>[M]['output']>;
};

/** A message, or its bytes where they are there already: making those of a page takes a quarter of a millisecond. */
type Answer<D extends DescMessage> = MessageInitShape<D> | Uint8Array;

export type AnyHandler = (request: unknown, call: ServerCall) => unknown;

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
