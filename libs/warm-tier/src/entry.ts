import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { KvShape, SlotContent } from '@onepass/kv';

/** How numbers lie in an entry: as they are, in 16 bits, or in 8 bits by each channel's own step. */
export const WARM_CODECS = ['f32', 'f16', 'i8'] as const;
export type WarmCodec = (typeof WARM_CODECS)[number];

/** What an entry must be of, whole, to be used. */
export interface EntryIdentity {
  readonly codec: WarmCodec;
  readonly releaseId: string;
  readonly shape: KvShape;
  /** 32 hex digits. */
  readonly person: string;
}

/** What an entry says of its numbers. */
export interface EntryContent {
  readonly content: SlotContent;
  /** Effective time of the last token, epoch ms. */
  readonly lastMs: number;
  /** When it was made, epoch ms by the clock of who made it. */
  readonly writtenMs: number;
}

/** Why an entry is not used. */
export const REFUSALS = [
  'damaged',
  'other_version',
  'other_codec',
  'other_release',
  'other_shape',
  'other_person',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/*
 * Little-endian:
 *   0 magic   8 version (u16)   10 codec (u8)   11 bytes of the release id (u8)
 *  12 layers  16 width  20 capacity  24 tokens (u32 each)
 *  32 history sequence  40 history hash (u64)   48 last token's time  56 time of writing (f64)
 *  64 payload bytes (u64)   72 person (16 bytes)   88 release id (up to 128 bytes, then zeros)
 * 252 CRC-32 of everything else, header and payload
 * 256 payload
 */
export const HEADER_BYTES = 256;
const MAGIC = Buffer.from('ONEPASSW');
const VERSION = 1;
const AT = {
  version: 8,
  codec: 10,
  releaseBytes: 11,
  layers: 12,
  width: 16,
  capacity: 20,
  tokens: 24,
  sequence: 32,
  hash: 40,
  lastMs: 48,
  writtenMs: 56,
  payload: 64,
  person: 72,
  release: 88,
  crc: 252,
} as const;
const PERSON_BYTES = 16;
const MAX_RELEASE_BYTES = 128;
/** Summed without a pause: some milliseconds at worst. */
const CRC_BYTES = 4 << 20;

/** Room for an entry whose payload is written behind the header. Not zeroed. */
export function newEntry(payloadBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(HEADER_BYTES + payloadBytes);
}

/**
 * Writes the header of an entry whose payload is in place.
 * @throws RangeError on a release id of more than 128 bytes
 */
export async function sealEntry(entry: Buffer, identity: EntryIdentity, made: EntryContent): Promise<void> {
  const { shape, releaseId } = identity;
  const { content, lastMs, writtenMs } = made;
  const release = Buffer.from(releaseId);
  if (release.length > MAX_RELEASE_BYTES)
    throw new RangeError(`a release id has at most ${MAX_RELEASE_BYTES} bytes, not ${release.length}`);
  entry.fill(0, 0, HEADER_BYTES);
  MAGIC.copy(entry);
  entry.writeUInt16LE(VERSION, AT.version);
  entry[AT.codec] = WARM_CODECS.indexOf(identity.codec);
  entry[AT.releaseBytes] = release.length;
  entry.writeUInt32LE(shape.layers, AT.layers);
  entry.writeUInt32LE(shape.width, AT.width);
  entry.writeUInt32LE(shape.capacity, AT.capacity);
  entry.writeUInt32LE(content.length, AT.tokens);
  entry.writeBigUInt64LE(BigInt(content.sequence), AT.sequence);
  entry.writeBigUInt64LE(content.hash, AT.hash);
  entry.writeDoubleLE(lastMs, AT.lastMs);
  entry.writeDoubleLE(writtenMs, AT.writtenMs);
  entry.writeBigUInt64LE(BigInt(entry.length - HEADER_BYTES), AT.payload);
  entry.write(identity.person, AT.person, 'hex');
  release.copy(entry, AT.release);
  entry.writeUInt32LE(await checksum(entry), AT.crc);
}

/**
 * What a whole entry of this identity says, else why it is not one. A sum over everything comes before any question of whose it is: what
 * is damaged is never taken for somebody else's.
 * @param payloadBytes what so many tokens take
 */
export async function openEntry(
  entry: Buffer,
  expected: EntryIdentity,
  payloadBytes: (tokens: number) => number,
): Promise<EntryContent | Refusal> {
  if (entry.length < HEADER_BYTES || !MAGIC.equals(entry.subarray(0, MAGIC.length))) return 'damaged';
  // Of another version nothing else is known, not even where its sum lies.
  if (entry.readUInt16LE(AT.version) !== VERSION) return 'other_version';
  if (entry.readBigUInt64LE(AT.payload) !== BigInt(entry.length - HEADER_BYTES)) return 'damaged';
  if (entry.readUInt32LE(AT.crc) !== (await checksum(entry))) return 'damaged';
  const stranger = strangeness(entry, expected);
  if (stranger !== undefined) return stranger;
  const length = entry.readUInt32LE(AT.tokens);
  if (length === 0 || length > expected.shape.capacity || payloadBytes(length) !== entry.length - HEADER_BYTES)
    return 'damaged';
  const sequence = Number(entry.readBigUInt64LE(AT.sequence));
  const content = { length, sequence, hash: entry.readBigUInt64LE(AT.hash) };
  return { content, lastMs: entry.readDoubleLE(AT.lastMs), writtenMs: entry.readDoubleLE(AT.writtenMs) };
}

function strangeness(entry: Buffer, { codec, releaseId, shape, person }: EntryIdentity): Refusal | undefined {
  const release = entry.toString('utf8', AT.release, AT.release + entry[AT.releaseBytes]!);
  if (release !== releaseId) return 'other_release';
  const same =
    entry.readUInt32LE(AT.layers) === shape.layers &&
    entry.readUInt32LE(AT.width) === shape.width &&
    entry.readUInt32LE(AT.capacity) === shape.capacity;
  if (!same) return 'other_shape';
  if (entry.toString('hex', AT.person, AT.person + PERSON_BYTES) !== person) return 'other_person';
  return WARM_CODECS[entry[AT.codec]!] === codec ? undefined : 'other_codec';
}

/** Of all bytes but the sum itself; the event loop has turns in between. */
async function checksum(entry: Buffer): Promise<number> {
  let sum = crc32(entry.subarray(0, AT.crc));
  for (let at = HEADER_BYTES; at < entry.length; at += CRC_BYTES) {
    if (at > HEADER_BYTES) await setImmediate();
    sum = crc32(entry.subarray(at, at + CRC_BYTES), sum);
  }
  return sum;
}
