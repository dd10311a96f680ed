/** IEEE 754 binary16 to and from float32. `bits` are the 16 bits of a float16 as an unsigned number. */

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Every float16 as float32, by its bits: widening is exact and one load. 256 KiB. */
const WIDENED = buildWidened();

function buildWidened(): Float32Array {
  const table = new Float32Array(0x10000);
  for (let bits = 0; bits < 0x10000; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >>> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0x1f) table[bits] = fraction === 0 ? sign * Infinity : Number.NaN;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return table;
}

export function widenF16(bits: number): number {
  return WIDENED[bits]!;
}

/** float16 bits to float32, exact. `out` must be at least as long as `source`. */
export function widenF16Row(source: Uint16Array, out: Float32Array): Float32Array {
  const table = WIDENED;
  for (let i = 0; i < source.length; i++) out[i] = table[source[i]!]!;
  return out;
}

/** A float32 to the nearest float16, ties to the even one. 65,520 and more become infinity; NaN stays NaN. */
export function narrowF16(value: number): number {
  scratchFloat[0] = value;
  return narrowBits(scratchBits[0]!);
}

/** float32 to float16 bits, each to the nearest, ties to even. `out` must be at least as long as `source`. */
export function narrowF16Row(source: Float32Array, out: Uint16Array): Uint16Array {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  for (let i = 0; i < bits.length; i++) out[i] = narrowBits(bits[i]!);
  return out;
}

function narrowBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65,520: halfway between the largest float16 and the one that would follow it, which ties to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Normal in float16: rebias the exponent, then drop 13 bits of fraction. A carry runs into the exponent as it should.
  if (magnitude >= 0x38800000) return sign | roundedShift(magnitude - 0x38000000, 13);
  // Under a quarter of the smallest subnormal; also keeps the shift below 32.
  if (magnitude < 0x33000000) return sign;
  // Subnormal: the fraction with its hidden bit, in units of 2^-24.
  return sign | roundedShift((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >>> 23));
}

/** value / 2^shift, to the nearest, ties to even. */
function roundedShift(value: number, shift: number): number {
  const odd = (value >>> shift) & 1;
  return (value + (1 << (shift - 1)) - 1 + odd) >>> shift;
}

/** Whether none of the float16s is NaN or infinite. */
export function allFiniteF16(bits: Uint16Array): boolean {
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7c00) === 0x7c00) return false;
  return true;
}

const scratchFour = new Float32Array(4);
const scratchFourBits = new Int32Array(scratchFour.buffer);
/** The bits of a float16 in the places of a float32's are a number this many times too small: the biases are 15 and 127. */
const REBIAS = 2 ** 112;

/** Bits of a float32 that is 2^112 times smaller than the finite float16; of the extended sign the topmost bit is kept. */
function smallBits(bits: number): number {
  return ((bits << 16) >> 3) & ~0x70000000;
}

/**
 * Inner product of `query` [E] with the finite float16 row that begins at `at` of `bits`, summed in float64, rounded to float32 once.
 * The score of an item for a query is this number and no other. Widens by shifts and not by the table, which other work has mostly
 * driven out of the cache by the next search; the power of two that is left over changes no rounding in float64.
 */
export function dotF16(query: Float32Array, bits: Uint16Array, at: number): number {
  const four = scratchFour;
  const fourBits = scratchFourBits;
  const length = query.length;
  // Four sums: the additions of one do not wait for another's.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    fourBits[0] = smallBits(bits[at + i]!);
    fourBits[1] = smallBits(bits[at + i + 1]!);
    fourBits[2] = smallBits(bits[at + i + 2]!);
    fourBits[3] = smallBits(bits[at + i + 3]!);
    a += query[i]! * four[0]!;
    b += query[i + 1]! * four[1]!;
    c += query[i + 2]! * four[2]!;
    d += query[i + 3]! * four[3]!;
  }
  for (; i < length; i++) {
    fourBits[0] = smallBits(bits[at + i]!);
    a += query[i]! * four[0]!;
  }
  return Math.fround((a + b + (c + d)) * REBIAS);
}
