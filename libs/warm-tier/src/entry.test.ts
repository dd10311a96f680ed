import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type EntryContent, type EntryIdentity, HEADER_BYTES, newEntry, openEntry, sealEntry } from './entry.js';

const PERSON = '00112233445566778899aabbccddeeff';
const identity: EntryIdentity = {
  codec: 'f32',
  releaseId: 'r-1',
  shape: { layers: 1, width: 2, capacity: 8 },
  person: PERSON,
};
const made: EntryContent = {
  content: { length: 3, sequence: 2 ** 40 + 7, hash: 0xfedc_ba98_7654_3210n },
  lastMs: 1_800_000_000_123,
  writtenMs: 1_800_000_001_000,
};
const payloadBytes = (tokens: number) => tokens * 16;

async function anEntry(more: Partial<EntryIdentity> = {}): Promise<Buffer> {
  const entry = newEntry(payloadBytes(made.content.length));
  for (let at = HEADER_BYTES; at < entry.length; at++) entry[at] = (at * 37) & 0xff;
  await sealEntry(entry, { ...identity, ...more }, made);
  return entry;
}

const opened = (entry: Buffer, expected = identity) => openEntry(entry, expected, payloadBytes);

test('what was sealed is told again', async () => {
  expect(await opened(await anEntry())).toEqual(made);
  const releaseId = 'é'.repeat(64);
  expect(await opened(await anEntry({ releaseId }), { ...identity, releaseId })).toEqual(made);
  await expect(anEntry({ releaseId: `${releaseId}x` })).rejects.toThrow('at most 128 bytes, not 129');
});

test('every single bit that changed is a refusal', async () => {
  const entry = await anEntry();
  for (let bit = 0; bit < entry.length * 8; bit++) {
    entry[bit >> 3]! ^= 1 << (bit & 7);
    expect(await opened(entry), `bit ${bit}`).toBe(bit >> 4 === 4 ? 'other_version' : 'damaged');
    entry[bit >> 3]! ^= 1 << (bit & 7);
  }
  expect(await opened(entry)).toEqual(made);
});

test('every truncation, and anything behind the end, is a refusal', async () => {
  const entry = await anEntry();
  for (let length = 0; length < entry.length; length++)
    expect(await opened(entry.subarray(0, length)), `${length} bytes`).toBe('damaged');
  expect(await opened(Buffer.concat([entry, Buffer.of(0)]))).toBe('damaged');
});

test('arbitrary bytes are a refusal, never an exception', async () => {
  const start = await anEntry();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), fc.nat(HEADER_BYTES), async (bytes, kept) => {
      const entry = Buffer.concat([start.subarray(0, kept), bytes]);
      expect(typeof (await opened(entry))).toBe(entry.equals(start) ? 'object' : 'string');
    }),
    { seed: 7, numRuns: 500 },
  );
});

test.each([
  ['other_release', { releaseId: 'r-2' }],
  ['other_shape', { shape: { layers: 2, width: 1, capacity: 8 } }],
  ['other_shape', { shape: { layers: 1, width: 2, capacity: 9 } }],
  ['other_person', { person: PERSON.replace('0', '1') }],
  ['other_codec', { codec: 'i8' }],
] as const)('a whole entry of another is %s: %o', async (refusal, other) => {
  expect(await opened(await anEntry(), { ...identity, ...other })).toBe(refusal);
});

test('a length that is none, does not fit or is not that of the payload is a refusal', async () => {
  for (const length of [0, 2, 4, 9]) {
    const entry = newEntry(payloadBytes(length === 9 ? 9 : 3));
    await sealEntry(entry, identity, { ...made, content: { ...made.content, length } });
    expect(await opened(entry), `${length} tokens`).toBe('damaged');
  }
});
