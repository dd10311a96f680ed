import { type FieldViolation, invalidArguments, OnepassError } from '@onepass/errors';

/** Bytes of UTF-8 an id may have: of an item, a person, an event, a slate, a request. */
export const ID_BYTES = 128;

/**
 * How many violations one error carries. They travel in trailers, which gRPC peers limit to some kilobytes; the
 * thousandth wrong event teaches nothing that the first ones did not.
 */
const REPORTED_VIOLATIONS = 16;

/** Characters of the caller's own words that a sentence repeats. */
const QUOTED_CHARACTERS = 40;

/** Collects everything wrong with a request, so that a caller mends it in one turn. */
export class Violations {
  readonly #list: FieldViolation[] = [];
  #unreported = 0;

  add(field: string, description: string): void {
    if (this.#list.length < REPORTED_VIOLATIONS) this.#list.push({ field, description });
    else this.#unreported++;
  }

  /** @throws OnepassError `invalid_argument` naming every field. */
  throwIfAny(): void {
    if (this.#list.length === 0) return;
    if (this.#unreported === 0) throw invalidArguments(this.#list);
    throw invalidArguments([...this.#list, { field: 'request', description: `${this.#unreported} more are wrong` }]);
  }

  /** What `make` answers; when it throws `invalid_argument`, its violations join these and the answer is undefined. */
  attempt<T>(make: () => T): T | undefined {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof OnepassError) || error.detail.kind !== 'invalid_argument') throw error;
      for (const { field, description } of error.detail.violations) this.add(field, description);
      return undefined;
    }
  }

  /** An id that must be there: 1 to 128 bytes. */
  id(field: string, id: string): void {
    if (id === '') this.add(field, 'must not be empty');
    else this.optionalId(field, id);
  }

  /** An id that may be empty: at most 128 bytes. */
  optionalId(field: string, id: string): void {
    // A UTF-16 code unit is at least one byte and at most three.
    if (id.length * 3 <= ID_BYTES) return;
    const bytes = Buffer.byteLength(id);
    if (bytes > ID_BYTES) this.add(field, `is ${bytes} bytes long, the limit is ${ID_BYTES}`);
  }

  /** A count within [minimum, maximum]. */
  count(field: string, count: number, limits: { minimum: number; maximum: number }): void {
    const { minimum, maximum } = limits;
    if (count < minimum || count > maximum) this.add(field, `has ${count} entries, must have ${minimum} to ${maximum}`);
  }

  /** One of a closed set of words. */
  word(field: string, word: string, words: readonly string[]): void {
    if (!words.includes(word)) this.add(field, `${quoted(word)} is not one of ${words.join(', ')}`);
  }
}

/** The caller's word inside a sentence: shortened, control characters escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARACTERS ? `${text.slice(0, QUOTED_CHARACTERS)}...` : text);
}
