import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';

type Random = () => number;

const DEPTH = 4;
/** How often a list is far longer than anybody would send. */
const LONG = 0.02;
const LONG_LIST = 3_000;
/** Over the limit of 4 MiB by a little: a flood of far larger ones would try the sender. */
const MOST_BYTES = 5 * 2 ** 20;

const pick = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;

const FLOATS = [0, -0, 1, -1, 0.5, 1e-30, 3.4e38, -3.4e38, Number.NaN, Infinity, -Infinity];
const DOUBLES = [...FLOATS, 1e308, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER];
const INT32 = [0, 1, -1, 7, 200, 2 ** 31 - 1, -(2 ** 31)];
const UINT32 = [0, 1, 2, 7, 1_000, 2 ** 31, 2 ** 32 - 1];
const INT64 = [0n, 1n, -1n, BigInt(Date.UTC(2026, 0)), 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];
const UINT64 = [0n, 1n, 5n, 2n ** 53n, 2n ** 64n - 1n];
const TEXTS = [
  ...['', 'a', 'home', 'search', 'related', 'any', 'click', 'category', 'ceramics', 'i00001', 'i00200', 'fuzz-1'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '\0',
    'é'.repeat(64),
    'x'.repeat(129),
    'x'.repeat(5_000),
    '\u{1f3fa}',
    ' ',
  ],
];

function scalar(type: ScalarType, random: Random): unknown {
  switch (type) {
    case ScalarType.DOUBLE:
      return pick(random, DOUBLES);
    case ScalarType.FLOAT:
      return pick(random, FLOATS);
    case ScalarType.BOOL:
      return random() < 0.5;
    case ScalarType.STRING:
      return pick(random, TEXTS);
    case ScalarType.BYTES:
      return bytes(random);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return pick(random, UINT32);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return pick(random, UINT64);
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return pick(random, INT64);
    default:
      return pick(random, INT32);
  }
}

/** Numbers in little-endian float32, whole rows or not, of all kinds. */
function bytes(random: Random): Uint8Array {
  const length = pick(random, [0, 1, 3, 4, 16, 32, 64, 128, 4_096]);
  if (random() < 0.5) return Uint8Array.from({ length }, () => Math.floor(random() * 256));
  return new Uint8Array(Float32Array.from({ length: length >> 2 }, () => pick(random, FLOATS)).buffer);
}

const enumValue = (type: DescEnum, random: Random) =>
  random() < 0.2 ? pick(random, [99, -1, 2 ** 31 - 1]) : pick(random, type.values).number;

/** Any value that the field's type can hold. */
function fieldValue(field: DescField, random: Random, depth: number): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar, random);
    case 'enum':
      return enumValue(field.enum, random);
    case 'message':
      return anyMessage(field.message, random, depth + 1);
    case 'list': {
      const element = () => {
        if (field.listKind === 'message') return anyMessage(field.message, random, depth + 1);
        return field.listKind === 'enum' ? enumValue(field.enum, random) : scalar(field.scalar, random);
      };
      if (random() < LONG && depth === 0) return new Array(LONG_LIST).fill(element());
      return Array.from({ length: Math.floor(random() * 4) }, element);
    }
    case 'map': {
      const length = random() < LONG && depth === 0 ? LONG_LIST : Math.floor(random() * 4);
      const keys = Array.from({ length }, (_, i) => (i < 3 ? pick(random, TEXTS) : `key-${i}`));
      const value = () => {
        if (field.mapKind === 'message') return anyMessage(field.message, random, depth + 1);
        return field.mapKind === 'enum' ? enumValue(field.enum, random) : scalar(field.scalar, random);
      };
      // As own properties, "__proto__" too.
      return Object.fromEntries(keys.map((key) => [key, value()]));
    }
  }
}

/** A message of any content: right in its form, and in nothing else. */
function anyMessage(type: DescMessage, random: Random, depth = 0): Message {
  const message = create(type);
  if (depth > DEPTH) return message;
  for (const field of type.fields) if (random() < 0.6) put(message, field, fieldValue(field, random, depth));
  return message;
}

function put(message: Message, field: DescField, value: unknown): void {
  const record = message as unknown as Record<string, unknown>;
  if (field.oneof) record[field.oneof.localName] = { case: field.localName, value };
  else record[field.localName] = value;
}

function held(message: Message, field: DescField): unknown {
  const record = message as unknown as Record<string, unknown>;
  if (!field.oneof) return record[field.localName];
  const one = record[field.oneof.localName] as { case?: string; value?: unknown } | undefined;
  return one?.case === field.localName ? one.value : undefined;
}

/** Changes one field, at any depth, to anything; or repeats what a list holds. */
function spoil(type: DescMessage, message: Message, random: Random): void {
  if (type.fields.length === 0) return;
  const field = pick(random, type.fields);
  const value = held(message, field);
  if (field.fieldKind === 'message' && value !== undefined && random() < 0.7) {
    spoil(field.message, value as Message, random);
    return;
  }
  if (field.fieldKind === 'list' && Array.isArray(value) && value.length > 0 && random() < 0.7) {
    if (field.listKind === 'message' && random() < 0.7) {
      spoil(field.message, pick(random, value), random);
      return;
    }
    const times = random() < LONG ? LONG_LIST : 2;
    put(
      message,
      field,
      Array.from({ length: times }, () => value)
        .flat()
        .slice(0, 2 * LONG_LIST),
    );
    return;
  }
  put(message, field, fieldValue(field, random, 0));
}

/** Changes the bytes of a message as if the wire, or whoever wrote them, were broken. */
function spoilBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const at = Math.floor(random() * bytes.length);
  const kind = random();
  if (kind < 0.35) {
    const flipped = Uint8Array.from(bytes);
    for (let flips = 1 + Math.floor(random() * 4); flips > 0; flips--) {
      const place = Math.floor(random() * bytes.length);
      flipped[place] = (flipped[place] ?? 0) ^ (1 << Math.floor(random() * 8));
    }
    return flipped;
  }
  if (kind < 0.55) return bytes.subarray(0, at);
  if (kind < 0.75) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at >> 1)]);
  if (kind < 0.9) {
    const foreign = Uint8Array.from({ length: 1 + Math.floor(random() * 12) }, () => Math.floor(random() * 256));
    return Buffer.concat([bytes.subarray(0, at), foreign, bytes.subarray(at)]);
  }
  return Uint8Array.from({ length: Math.floor(random() * 600) }, () => Math.floor(random() * 256));
}

/**
 * One hostile message: of any content, or a good one with one or more fields or bytes changed.
 * @param good messages of the type, which are left as they are
 */
export function hostileMessage(
  type: DescMessage,
  good: readonly Uint8Array[],
  random: Random,
  parse: (bytes: Uint8Array) => Message,
): Uint8Array {
  const start = good.length > 0 && random() < 0.85 ? pick(random, good) : undefined;
  if (start !== undefined && random() < 0.35) return spoilBytes(start, random);
  const message = start === undefined ? anyMessage(type, random) : parse(start);
  if (start !== undefined)
    for (let times = 1 + Math.floor(random() * 2); times > 0; times--) spoil(type, message, random);
  const bytes = toBinary(type, message).subarray(0, MOST_BYTES);
  return random() < 0.05 ? spoilBytes(bytes, random) : bytes;
}
