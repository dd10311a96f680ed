import { expect, test } from 'vitest';
import { imagesOf, keepCapability } from './fatbin.mjs';

/**
 * @param {number} capability
 * @param {number} bytes
 * @param {number} [kind]
 */
function image(capability, bytes, kind = 2) {
  const all = Buffer.alloc(64 + bytes, 0xab);
  all.writeUInt16LE(kind, 0);
  all.writeUInt16LE(257, 2);
  all.writeUInt32LE(64, 4);
  all.writeBigUInt64LE(BigInt(bytes), 8);
  all.writeUInt32LE(capability, 28);
  return all;
}

/** @param {readonly Buffer[]} images */
function fatbin(...images) {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(16, 6);
  header.writeBigUInt64LE(BigInt(images.reduce((sum, one) => sum + one.length, 0)), 8);
  return Buffer.concat([header, ...images]);
}

const code = Buffer.alloc(50, 7);

test('images of other capabilities are zeroed, and nothing else is touched', () => {
  const library = Buffer.concat([
    code,
    fatbin(image(80, 24), image(90, 40)),
    code,
    fatbin(image(90, 8), image(120, 16)),
  ]);
  const before = Buffer.from(library);
  expect(imagesOf(library).map(({ capability }) => capability)).toEqual([80, 90, 90, 120]);
  expect(keepCapability(library, 90)).toEqual({ kept: 48, zeroed: 40, found: [80, 90, 120] });
  expect(library.length).toBe(before.length);
  const changed = [...library].flatMap((byte, i) => (byte === before[i] ? [] : [i]));
  expect(changed.length).toBe(40);
  expect(changed.every((i) => library[i] === 0 && before[i] === 0xab)).toBe(true);
  expect(imagesOf(library)).toEqual(imagesOf(before));
});

test('what only looks like one, and what is no machine code, stays', () => {
  const [torn, lonely] = [fatbin(image(80, 24)).subarray(0, 60), Buffer.from([0x50, 0xed, 0x55, 0xba])];
  const library = Buffer.concat([lonely, code, fatbin(image(80, 24, 1)), torn]);
  const before = Buffer.from(library);
  expect(keepCapability(library, 90)).toEqual({ kept: 0, zeroed: 0, found: [] });
  expect(library.equals(before)).toBe(true);
});
