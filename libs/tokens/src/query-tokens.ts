/** A release's tokenizer of queries, as its manifest has it (docs/release.md). */
export interface QueryTokenizer {
  readonly buckets: number;
  readonly seed: number;
  /** Lengths of n-grams, in bytes. */
  readonly ngrams: readonly number[];
  readonly maxTokens: number;
}

const FNV_OFFSET = 2_166_136_261;
const FNV_PRIME = 16_777_619;
const BEGIN = 0x3c;
const END = 0x3e;
const utf8 = new TextEncoder();

/**
 * Token ids in order, each below `buckets`, at most `maxTokens`: for each word the word itself and its n-grams, hashed. A word is a
 * run of ASCII letters, digits and bytes beyond ASCII; no Unicode table is asked, for those differ between versions and languages.
 * @returns none for a text without a word
 */
export function queryTokens(text: string, tokenizer: QueryTokenizer): number[] {
  const { ngrams, maxTokens } = tokenizer;
  const ids: number[] = [];
  for (const word of words(utf8.encode(text))) {
    ids.push(bucket(tokenizer, 0, word));
    const marked = Uint8Array.of(BEGIN, ...word, END);
    for (const length of ngrams) {
      const last = Math.min(marked.length - length, maxTokens - ids.length - 1);
      for (let at = 0; at <= last; at++) ids.push(bucket(tokenizer, length, marked, at));
    }
    if (ids.length >= maxTokens) break;
  }
  return ids;
}

/** What each of a text's `count` tokens weighs. */
export function tokenWeight(count: number): number {
  return 1 / Math.sqrt(count);
}

/** In ASCII lower case. `bytes` is changed. */
function* words(bytes: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  for (let at = 0; at <= bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) bytes[at] = byte + 0x20;
    else if (byte < 0x80 && !(byte >= 0x61 && byte <= 0x7a) && !(byte >= 0x30 && byte <= 0x39)) {
      if (at > start) yield bytes.subarray(start, at);
      start = at + 1;
    }
  }
}

/** FNV-1a of the n-gram's length (0 = a whole word) and its bytes, the halves folded, modulo the buckets. */
function bucket({ buckets, seed }: QueryTokenizer, length: number, bytes: Uint8Array, from = 0): number {
  const end = length === 0 ? bytes.length : from + length;
  let hash = Math.imul(FNV_OFFSET ^ seed ^ length, FNV_PRIME);
  for (let at = from; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME);
  return ((hash ^ (hash >>> 16)) >>> 0) % buckets;
}
