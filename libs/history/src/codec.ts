import { createHash } from 'node:crypto';
import { byteBytes, numberBytes, Reader, textBytes } from './bytes.js';
import type { HistoryEvent, HistoryHead, NewEvent } from './event.js';

// An event's value is: state (1 byte, the only part that ever changes), hash (8), then the body that the hash covers.
const STATE_BYTES = 1;
const BODY_START = STATE_BYTES + 8;
const RETRACTED = 1;

const HAS = { retracts: 1, item: 2, query: 4, slate: 8, position: 16 } as const;

/** What a history remembers of its end. */
export interface StoredHead extends HistoryHead {
  readonly effectiveMs: number;
}

export const EMPTY_HEAD: StoredHead = { sequence: 0, hash: 0n, effectiveMs: 0 };

export function endOf({ sequence, hash }: StoredHead): HistoryHead {
  return { sequence, hash };
}

export function encodeHead(head: StoredHead): Buffer {
  const bytes = Buffer.allocUnsafe(20);
  bytes.writeUIntBE(head.sequence, 0, 6);
  bytes.writeBigUInt64BE(head.hash, 6);
  bytes.writeUIntBE(head.effectiveMs, 14, 6);
  return bytes;
}

export function decodeHead(bytes: Buffer): StoredHead {
  return {
    sequence: bytes.readUIntBE(0, 6),
    hash: bytes.readBigUInt64BE(6),
    effectiveMs: bytes.readUIntBE(14, 6),
  };
}

/** An event's value, its hash chained to `previous`, the hash of the event before it. */
export function encodeEvent(
  event: NewEvent & { readonly effectiveMs: number; readonly retracts?: number | undefined },
  previous: bigint,
): { bytes: Buffer; hash: bigint } {
  const body = encodeBody(event);
  const chained = Buffer.allocUnsafe(8);
  chained.writeBigUInt64BE(previous);
  const hash = createHash('sha256').update(chained).update(body).digest().readBigUInt64BE();
  const bytes = Buffer.allocUnsafe(BODY_START + body.length);
  bytes[0] = 0;
  bytes.writeBigUInt64BE(hash, STATE_BYTES);
  body.copy(bytes, BODY_START);
  return { bytes, hash };
}

function encodeBody(event: NewEvent & { effectiveMs: number; retracts?: number | undefined }): Buffer {
  const { itemId, queryText, slateId, position, retracts } = event;
  const has =
    (retracts === undefined ? 0 : HAS.retracts) |
    (itemId === undefined ? 0 : HAS.item) |
    (queryText === undefined ? 0 : HAS.query) |
    (slateId === undefined ? 0 : HAS.slate) |
    (position === undefined ? 0 : HAS.position);
  const parts = [byteBytes(has)];
  // The item comes first, so that collecting the items of a long history reads no further.
  if (itemId !== undefined) parts.push(textBytes(itemId));
  parts.push(numberBytes(event.timeMs), numberBytes(event.effectiveMs));
  parts.push(textBytes(event.eventId), textBytes(event.surface));
  parts.push(byteBytes(event.actions.length), ...event.actions.map(textBytes));
  if (queryText !== undefined) parts.push(textBytes(queryText));
  if (slateId !== undefined) parts.push(textBytes(slateId));
  if (position !== undefined) parts.push(numberBytes(position));
  if (retracts !== undefined) parts.push(numberBytes(retracts));
  return Buffer.concat(parts);
}

export function decodeEvent(bytes: Buffer, sequence: number): HistoryEvent {
  const reader = new Reader(bytes, BODY_START);
  const has = reader.byte();
  const itemId = has & HAS.item ? reader.text() : undefined;
  const timeMs = reader.number();
  const effectiveMs = reader.number();
  const eventId = reader.text();
  const surface = reader.text();
  const actions = Array.from({ length: reader.byte() }, () => reader.text());
  return {
    eventId,
    operation: has & HAS.retracts ? 'retract' : 'add',
    itemId,
    actions,
    surface,
    timeMs,
    effectiveMs,
    queryText: has & HAS.query ? reader.text() : undefined,
    slateId: has & HAS.slate ? reader.text() : undefined,
    position: has & HAS.position ? reader.number() : undefined,
    retracts: has & HAS.retracts ? reader.number() : undefined,
    sequence,
    hash: decodeHash(bytes),
    retracted: bytes[0] === RETRACTED,
  };
}

export function decodeHash(bytes: Buffer): bigint {
  return bytes.readBigUInt64BE(STATE_BYTES);
}

/** Added and not retracted. */
export function isEffective(bytes: Buffer): boolean {
  return bytes[0] !== RETRACTED && (bytes[BODY_START]! & HAS.retracts) === 0;
}

/** The same in Lua, of an event's value in `value`. */
export const IS_EFFECTIVE_LUA = `value:byte(1) ~= ${RETRACTED} and value:byte(${BODY_START + 1}) % ${2 * HAS.retracts} < ${HAS.retracts}`;

/** Only the item of an event; undefined for a query or a retract. */
export function decodeItemId(bytes: Buffer): string | undefined {
  return bytes[BODY_START]! & HAS.item ? new Reader(bytes, BODY_START + 1).text() : undefined;
}

/** The same event, taken back. */
export function markRetracted(bytes: Buffer): Buffer {
  const marked = Buffer.from(bytes);
  marked[0] = RETRACTED;
  return marked;
}
