import { describeCase, type GpuCase } from './gpu-case.js';

/** How a graph begins its sentence, which says of what and not why. */
const OF_A_GRAPH = /^graph \S+ cannot be prepared for .*? in \d+ lanes: /;
/** Names in a line. */
const MOST_NAMED = 3;

/** Why cases went wrong: many for the same reason are one line. */
export class Reasons {
  readonly #names = new Map<string, string[]>();

  /** @param why a sentence */
  add(of: GpuCase, why: string): undefined {
    const reason = why.replace(OF_A_GRAPH, '');
    this.#names.set(reason, [...(this.#names.get(reason) ?? []), describeCase(of)]);
  }

  get lines(): string[] {
    return [...this.#names].map(([reason, names]) => {
      const more = names.length - MOST_NAMED;
      const named = names.slice(0, MOST_NAMED).join('; ');
      return `${more > 0 ? `${named} and ${more} more` : named}: ${reason}`;
    });
  }
}
