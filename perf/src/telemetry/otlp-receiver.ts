import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** A span as it came over the wire. */
export interface ReceivedSpan {
  /** Of the resource. */
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Attributes;
}

/** A collector of our own: takes OTLP over HTTP in protobuf and keeps the spans. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  /** As they came. */
  readonly bodies: Buffer[] = [];
  readonly #server: Server;

  static async listen(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      this.bodies.push(body);
      this.spans.push(...decodeSpans(body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  }

  /** What ONEPASS_OTLP_ENDPOINT is set to. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The spans by their trace. */
  traces(): Map<string, ReceivedSpan[]> {
    const traces = new Map<string, ReceivedSpan[]>();
    for (const span of this.spans) {
      const trace = traces.get(span.traceId);
      if (trace) trace.push(span);
      else traces.set(span.traceId, [span]);
    }
    return traces;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Of an ExportTraceServiceRequest: resource spans, scope spans, spans. */
export function decodeSpans(body: Uint8Array): ReceivedSpan[] {
  return messages(body, 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1).flatMap((bytes) => messages(bytes, 1)));
    const service = String(resource['service.name']);
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => decodeSpan(span, service));
  });
}

const KINDS = { 1: 'internal', 2: 'server', 3: 'client' } as const;

function decodeSpan(bytes: Uint8Array, service: string): ReceivedSpan {
  const fields = fieldsOf(bytes);
  const hex = (field: number) => Buffer.from((fields.get(field)?.[0] as Uint8Array) ?? []).toString('hex');
  return {
    service,
    traceId: hex(1),
    spanId: hex(2),
    parentSpanId: hex(4),
    name: text(fields.get(5)?.[0]),
    kind: KINDS[Number(fields.get(6)?.[0]) as keyof typeof KINDS],
    startNs: fields.get(7)?.[0] as bigint,
    endNs: fields.get(8)?.[0] as bigint,
    attributes: attributesOf((fields.get(9) ?? []) as Uint8Array[]),
  };
}

function attributesOf(pairs: readonly Uint8Array[]): Record<string, AttributeValue> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const fields = fieldsOf(pair);
      return [text(fields.get(1)?.[0]), anyValue(fields.get(2)?.[0] as Uint8Array)];
    }),
  );
}

/** An AnyValue: the kinds that spans of ours have. */
function anyValue(bytes: Uint8Array): AttributeValue {
  const [[field, [value]]] = [...fieldsOf(bytes)] as [[number, [Field]]];
  if (field === 1) return text(value);
  if (field === 2) return value === 1n;
  if (field === 3) return Number(value);
  return Buffer.from(new BigUint64Array([value as bigint]).buffer).readDoubleLE();
}

function text(field: Field | undefined): string {
  return Buffer.from((field as Uint8Array | undefined) ?? []).toString();
}

type Field = Uint8Array | bigint;

function messages(bytes: Uint8Array, field: number): Uint8Array[] {
  return (fieldsOf(bytes).get(field) ?? []) as Uint8Array[];
}

/** By number; numbers of any kind as bigint. */
function fieldsOf(bytes: Uint8Array): Map<number, Field[]> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Field[]>();
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const value = readField(reader, wireType);
    const before = fields.get(number);
    if (before) before.push(value);
    else fields.set(number, [value]);
  }
  return fields;
}

function readField(reader: BinaryReader, wireType: WireType): Field {
  switch (wireType) {
    case WireType.Varint:
      return BigInt(reader.uint64());
    case WireType.Bit64:
      return BigInt(reader.fixed64());
    case WireType.Bit32:
      return BigInt(reader.fixed32());
    case WireType.LengthDelimited:
      return reader.bytes();
    default:
      throw new Error(`wire type ${wireType} is not one of OTLP's`);
  }
}
