import { checkedPerson, idHash } from './bytes.js';

// A person's records lie together: person key (16 bytes), one tag byte, then what the tag says.
const TAG = { head: 0, event: 1, id: 2 } as const;
const PERSON_BYTES = 16;
const SEQUENCE_BYTES = 6;
const ID_BYTES = 16;

export function headKey(person: string): Buffer {
  return tagged(person, TAG.head, 0);
}

/** Ordered by sequence. */
export function eventKey(person: string, sequence: number): Buffer {
  const key = tagged(person, TAG.event, SEQUENCE_BYTES);
  key.writeUIntBE(sequence, PERSON_BYTES + 1, SEQUENCE_BYTES);
  return key;
}

export function sequenceOf(eventKey: Buffer): number {
  return eventKey.readUIntBE(PERSON_BYTES + 1, SEQUENCE_BYTES);
}

/** Leads from an event id, by the first 128 bits of its SHA-256, to a sequence. */
export function idKey(person: string, eventId: string): Buffer {
  const key = tagged(person, TAG.id, ID_BYTES);
  idHash(eventId).copy(key, PERSON_BYTES + 1);
  return key;
}

export function sequenceValue(sequence: number): Buffer {
  const value = Buffer.allocUnsafe(SEQUENCE_BYTES);
  value.writeUIntBE(sequence, 0, SEQUENCE_BYTES);
  return value;
}

export function sequenceFrom(value: Buffer): number {
  return value.readUIntBE(0, SEQUENCE_BYTES);
}

/** Comes after every key of a person and before every key of the next. */
export function afterPerson(person: string): Buffer {
  return tagged(person, 0xff, 0);
}

export function personOf(key: Buffer): string {
  return key.toString('hex', 0, PERSON_BYTES);
}

function tagged(person: string, tag: number, more: number): Buffer {
  const key = Buffer.allocUnsafe(PERSON_BYTES + 1 + more);
  key.write(checkedPerson(person), 'hex');
  key[PERSON_BYTES] = tag;
  return key;
}
