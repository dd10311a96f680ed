import { createHash } from 'node:crypto';
import { invalidArgument } from '@onepass/errors';

/**
 * What stands for a person behind the gateway: the first 128 bits of SHA-256 over a kind byte and the id, as 32 lower-case
 * hex digits. Raw ids stop here: they enter no store, span, log or header.
 */
export type PersonKey = string;

/** The shape of onepass.common.v1.Person. */
export interface PersonMessage {
  readonly id:
    | { readonly case: 'userId' | 'visitorId'; readonly value: string }
    | { readonly case?: undefined; readonly value?: undefined };
}

export const MAX_ID_BYTES = 128;

const KEY_BYTES = 16;
// A visitor and a user of one name are two persons.
const KINDS = {
  userId: { byte: Uint8Array.of(1), field: 'user_id' },
  visitorId: { byte: Uint8Array.of(2), field: 'visitor_id' },
} as const;

/**
 * The key of a person; undefined for nobody in particular.
 * @throws OnepassError `invalid_argument` naming `person.user_id` or `person.visitor_id` when the id is empty or too long.
 */
export function personKey(person: PersonMessage | undefined): PersonKey | undefined {
  if (person?.id.case === undefined) return undefined;
  const { byte, field } = KINDS[person.id.case];
  const id = Buffer.from(person.id.value, 'utf8');
  if (id.length === 0) throw invalidArgument(`person.${field}`, 'must not be empty');
  if (id.length > MAX_ID_BYTES) {
    throw invalidArgument(`person.${field}`, `must be at most ${MAX_ID_BYTES} bytes of UTF-8, got ${id.length}`);
  }
  return createHash('sha256')
    .update(byte)
    .update(id)
    .digest('hex')
    .slice(0, 2 * KEY_BYTES);
}

/** A key as the 16 bytes that cross the wire and lie in stores. */
export function personKeyBytes(key: PersonKey): Uint8Array {
  return Buffer.from(key, 'hex');
}

/**
 * The key in 16 bytes from the wire.
 * @param field path of the request field that held them
 * @throws OnepassError `invalid_argument` naming `field` when there are not 16.
 */
export function personKeyFromBytes(bytes: Uint8Array, field: string): PersonKey {
  if (bytes.length !== KEY_BYTES) throw invalidArgument(field, `must be ${KEY_BYTES} bytes, got ${bytes.length}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, KEY_BYTES).toString('hex');
}
