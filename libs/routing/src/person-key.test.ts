import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type PersonMessage, personKey, personKeyBytes, personKeyFromBytes } from './index.js';

const user = (value: string): PersonMessage => ({ id: { case: 'userId', value } });
const visitor = (value: string): PersonMessage => ({ id: { case: 'visitorId', value } });

test('a key is the first 128 bits of SHA-256 over kind byte and id', () => {
  // printf '\x01anna' | sha256sum | cut -c1-32
  expect(personKey(user('anna'))).toBe('6117c30450192639707a7aa01539dce7');
  expect(personKey(visitor('anna'))).toBe('82af2026db06fe7b3698f4840be0169a');
});

test('nobody has no key', () => {
  expect(personKey(undefined)).toBeUndefined();
  expect(personKey({ id: { case: undefined } })).toBeUndefined();
});

test('an id is 1 to 128 bytes of UTF-8, else the field is named', () => {
  expect(() => personKey(user(''))).toThrow('person.user_id: must not be empty');
  expect(() => personKey(visitor('é'.repeat(65)))).toThrow(
    'person.visitor_id: must be at most 128 bytes of UTF-8, got 130',
  );
  expect(personKey(visitor('é'.repeat(64)))).toHaveLength(32);
});

test('keys survive the wire, from unaligned bytes too', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 32 }), (id) => {
      const key = personKey(user(id))!;
      const message = new Uint8Array(19);
      message.set(personKeyBytes(key), 3);
      expect(personKeyFromBytes(message.subarray(3), 'kv.person_key')).toBe(key);
    }),
    { seed: 1 },
  );
  expect(() => personKeyFromBytes(new Uint8Array(15), 'kv.person_key')).toThrow(
    'kv.person_key: must be 16 bytes, got 15',
  );
});
