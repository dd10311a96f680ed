import { createHash } from 'node:crypto';
import { OnepassError } from '@onepass/errors';

// Numbers below 2^48 (sequences, milliseconds until the year 10889) take 6 bytes, strings a 2-byte length before their UTF-8.
// Writing checks the range, so that an oversize part is an error and never another value.

export function byteBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(1);
  bytes.writeUInt8(value);
  return bytes;
}

export function numberBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}

export function textBytes(value: string): Buffer {
  const length = Buffer.byteLength(value);
  const bytes = Buffer.allocUnsafe(2 + length);
  bytes.writeUInt16BE(length);
  bytes.write(value, 2);
  return bytes;
}

/** The first 128 bits of an id's SHA-256: what an id of any length is found by. */
export function idHash(id: string): Buffer {
  return createHash('sha256').update(id).digest().subarray(0, 16);
}

/**
 * A raw id must never become a key.
 * @throws OnepassError `internal` for anything but 32 hex digits, which is a defect of the caller
 */
export function checkedPerson(person: string): string {
  if (!/^[0-9a-f]{32}$/.test(person)) throw OnepassError.from(new TypeError('a person key has 32 hex digits'));
  return person;
}

/** Reads what was written above, part by part. */
export class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  number(): number {
    this.#at += 6;
    return this.#bytes.readUIntBE(this.#at - 6, 6);
  }

  text(): string {
    const length = this.#bytes.readUInt16BE(this.#at);
    const start = this.#at + 2;
    this.#at = start + length;
    return this.#bytes.toString('utf8', start, this.#at);
  }

  float(): number {
    this.#at += 4;
    return this.#bytes.readFloatBE(this.#at - 4);
  }

  double(): number {
    this.#at += 8;
    return this.#bytes.readDoubleBE(this.#at - 8);
  }

  hash(): bigint {
    this.#at += 8;
    return this.#bytes.readBigUInt64BE(this.#at - 8);
  }
}
