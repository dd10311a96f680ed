/** Makes an answer wrong: takes a decoded response, answers a changed copy. */
export type Wrong = <T extends object>(response: T) => T;

/** Bytes that hold numbers. */
const NUMBERS = new Set(['probabilities', 'utilities', 'values', 'scores']);
const FLOAT_BYTES = 4;

type Change = (name: string, value: unknown) => unknown;

/** Ways in which an answer can be wrong, by the name that a failure flag gives them. */
export const WRONGS = {
  /** Every number that is scored with, NaN: all bits set is NaN as float32 and as float16. */
  nan: changing((name, value) => {
    if (!NUMBERS.has(name)) return value;
    if (value instanceof Uint8Array) return new Uint8Array(value.length).fill(0xff);
    return Array.isArray(value) ? value.map((one) => (typeof one === 'number' ? Number.NaN : one)) : value;
  }),
  wrong_dimension: changing((name, value) => (name === 'dimension' ? Number(value) + 1 : value)),
  wrong_release: changing((name, value) => (name === 'releaseId' ? 'another-release' : value)),
  /** Numbers whose last byte is missing. */
  truncated: changing((name, value) =>
    NUMBERS.has(name) && value instanceof Uint8Array ? value.subarray(0, -1) : value,
  ),
  /** Columns of half their length: whole numbers, too few. */
  short: changing((name, value) => {
    if (!NUMBERS.has(name)) return value;
    if (value instanceof Uint8Array) {
      return value.subarray(0, Math.floor(value.length / 2 / FLOAT_BYTES) * FLOAT_BYTES);
    }
    return Array.isArray(value) ? value.slice(0, value.length >> 1) : value;
  }),
} satisfies Record<string, Wrong>;

function changing(change: Change): Wrong {
  const changed = (name: string, value: unknown): unknown => {
    const own = change(name, value);
    if (own !== value || typeof own !== 'object' || own === null || ArrayBuffer.isView(own)) return own;
    if (Array.isArray(own)) return own.map((one) => changed('', one));
    // A message keeps what its prototype says.
    const copy: Record<string, unknown> = Object.create(Object.getPrototypeOf(own));
    for (const [key, field] of Object.entries(own)) copy[key] = changed(key, field);
    return copy;
  };
  return (response) => changed('', response) as typeof response;
}
