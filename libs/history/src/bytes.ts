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

/** Writes the same parts one after the other into memory of its own: an array of small Buffers costs several times as much. */
export class Writer {
  #bytes = Buffer.allocUnsafeSlow(1_024);
  #at = 0;

  byte(value: number): void {
    this.#at = this.#room(1).writeUInt8(value, this.#at);
  }

  number(value: number): void {
    this.#at = this.#room(6).writeUIntBE(value, this.#at, 6);
  }

  text(value: string): void {
    // UTF-8 takes at most three bytes a UTF-16 unit.
    const bytes = this.#room(2 + 3 * value.length);
    const length = bytes.write(value, this.#at + 2);
    bytes.writeUInt16BE(length, this.#at);
    this.#at += 2 + length;
  }

  texts(values: readonly string[]): void {
    this.byte(values.length);
    for (const value of values) this.text(value);
  }

  float(value: number): void {
    this.#at = this.#room(4).writeFloatBE(value, this.#at);
  }

  double(value: number): void {
    this.#at = this.#room(8).writeDoubleBE(value, this.#at);
  }

  hash(value: bigint): void {
    this.#at = this.#room(8).writeBigUInt64BE(value, this.#at);
  }

  /** All that was written, in a Buffer of its own. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }

  #room(more: number): Buffer {
    if (this.#at + more > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (this.#at + more));
      this.#bytes.copy(larger, 0, 0, this.#at);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
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
