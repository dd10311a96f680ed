import { startupError } from '@onepass/errors';
import type { HostArray, HostArrays } from '@onepass/inference';
import type { GpuCase } from './gpu-case.js';
import { type DeviceGraphs, SEED } from './graphs.js';
import { type MadeUpInputs, madeUpInputs } from './made-up.js';

/** People and slates of a bed; each person holds n tokens. */
export interface BedSizes {
  /** The most people in one run. */
  readonly batch: number;
  readonly n: number;
  readonly k: number;
  readonly contexts: number;
  readonly slates: number;
  /** Of the pools, which are nobody's. */
  readonly sparePages?: number;
}

/** Page of zeros, and the one that takes rows of padding. */
export const OWN_PAGES = 2;
/** Steps through all pages when there is no common divisor: nobody's pages lie side by side, as after some time of serving. */
const STRIDE = 7_919;

/** The people of a bed: their pages, and what they and their slates are made of. */
export class BedPeople {
  readonly pagesOfPerson: number;
  readonly #sizes: BedSizes;
  readonly #description: DeviceGraphs['description'];
  /** Of each person. */
  readonly #pages: readonly BigInt64Array[];
  /** By variant. */
  readonly #inputs = new Map<number, MadeUpInputs>();

  constructor(description: DeviceGraphs['description'], sizes: BedSizes) {
    this.#description = description;
    this.#sizes = sizes;
    this.pagesOfPerson = Math.ceil(sizes.n / description.pageTokens);
    const each = this.pagesOfPerson;
    const all = sizes.batch * each;
    const stride = all % STRIDE === 0 ? 1 : STRIDE;
    this.#pages = Array.from({ length: sizes.batch }, (_, person) =>
      BigInt64Array.from({ length: each }, (_, page) => BigInt(OWN_PAGES + (((person * each + page) * stride) % all))),
    );
  }

  /**
   * Fills a case's inputs: the same numbers for the same person and variant in every case, so that what is written twice is written alike. `once`: inputs that
   * the first run gets and that stay for the later ones, whose memory is the same, so that only the copy to the device is timed.
   * @param first the first person of the batch
   */
  fill(asked: GpuCase, variant: number, first: number, once: HostArrays = {}): (inputs: HostArrays) => void {
    const known = this.#known(asked, variant, first);
    let isFirst = true;
    return (inputs) => {
      for (const [name, into] of Object.entries(inputs)) {
        if (!isFirst && once[name] !== undefined) continue;
        const from = known[name] ?? once[name];
        if (from === undefined)
          throw startupError(`the device graphs have an input "${name}" that this bench does not know`);
        (into as Float32Array).set(from.subarray(0, into.length) as Float32Array);
      }
      isFirst = false;
    };
  }

  /** Rows of the pools that a case writes: of each person's new tokens. */
  targetsOf({ timed, batch, rows }: GpuCase, first: number): BigInt64Array {
    const held = timed === 'append' ? this.#sizes.n - rows : 0;
    return concatenated(Array.from({ length: batch }, (_, i) => this.#targets(first + i, held, rows)));
  }

  #known(asked: GpuCase, variant: number, first: number): Record<string, HostArray> {
    const { timed, batch, rows } = asked;
    const { n, k, contexts, slates } = this.#sizes;
    const { columns, embedding } = this.#description;
    const of = this.#variant(variant);
    const held = timed === 'append' ? n - rows : 0;
    const people = Array.from({ length: batch }, (_, i) => first + i);
    const from = (numbers: Float32Array, each: number) => numbers.subarray(first * each, (first + batch) * each);
    return {
      rows: this.#rowsOf(of.rows, people, timed === 'append' ? rows : n),
      context: from(of.context, slates * contexts * columns),
      candidates: from(of.candidates, slates * k * embedding),
      candidate_row: from(of.candidateRow, slates * (columns - embedding)),
      lengths: filled(batch, timed === 'encode' || timed === 'append' ? held : n),
      counts: filled(batch, rows),
      context_counts: filled(batch * slates, contexts),
      pages: concatenated(people.map((person) => this.#pages[person]!)),
      targets: this.targetsOf(asked, first),
    };
  }

  #variant(variant: number): MadeUpInputs {
    const known = this.#inputs.get(variant);
    if (known !== undefined) return known;
    const { columns, embedding } = this.#description;
    const made = madeUpInputs({ ...this.#sizes, columns, embedding }, SEED + variant);
    this.#inputs.set(variant, made);
    return made;
  }

  /** The last `count` rows of each person's past. */
  #rowsOf(rows: Float32Array, people: readonly number[], count: number): Float32Array {
    const { columns } = this.#description;
    const { n } = this.#sizes;
    const all = new Float32Array(people.length * count * columns);
    people.forEach((person, i) => {
      const end = (person + 1) * n * columns;
      all.set(rows.subarray(end - count * columns, end), i * count * columns);
    });
    return all;
  }

  /** Pool rows of a person's tokens from `held` on. */
  #targets(person: number, held: number, count: number): BigInt64Array {
    const tokens = this.#description.pageTokens;
    const pages = this.#pages[person]!;
    return BigInt64Array.from({ length: count }, (_, i) => {
      const token = held + i;
      return pages[Math.floor(token / tokens)]! * BigInt(tokens) + BigInt(token % tokens);
    });
  }
}

const filled = (count: number, value: number) => new BigInt64Array(count).fill(BigInt(value));

function concatenated(parts: readonly BigInt64Array[]): BigInt64Array {
  const all = new BigInt64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
