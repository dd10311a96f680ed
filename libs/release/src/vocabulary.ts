import { invalidArgument } from '@onepass/errors';
import { ANY_OUTCOME, type DefaultBudget, type DraftManifest } from './manifest.js';

/** Names of one kind with their indices, in the release's order. */
export class NameTable {
  readonly names: readonly string[];
  readonly #indices: ReadonlyMap<string, number>;
  readonly #kind: string;

  constructor(kind: string, names: readonly string[]) {
    this.#kind = kind;
    this.names = names;
    this.#indices = new Map(names.map((name, index) => [name, index]));
  }

  get size(): number {
    return this.names.length;
  }

  /** undefined = the release does not know the name. */
  index(name: string): number | undefined {
    return this.#indices.get(name);
  }

  /** @throws OnepassError `invalid_argument` naming `field` and the names there are. */
  require(name: string, field: string): number {
    const index = this.#indices.get(name);
    if (index !== undefined) return index;
    throw invalidArgument(field, `"${name}" is not one of the release's ${this.#kind}: ${this.names.join(', ')}`);
  }
}

/** What a release calls things, and its defaults per name. */
export class Vocabulary {
  readonly actions: NameTable;
  readonly surfaces: NameTable;
  /** The actions and, last, "any". */
  readonly outcomes: NameTable;
  readonly requestFeatures: NameTable;
  /** Default weight in the utility, by action index. */
  readonly utilityWeights: Float64Array;
  readonly #budgets: DraftManifest['budgets'];

  constructor({ vocabulary, budgets }: Pick<DraftManifest, 'vocabulary' | 'budgets'>) {
    const actions = vocabulary.actions.map((a) => a.name);
    this.actions = new NameTable('actions', actions);
    this.surfaces = new NameTable('surfaces', vocabulary.surfaces);
    this.outcomes = new NameTable('outcomes', [...actions, ANY_OUTCOME]);
    this.requestFeatures = new NameTable('request features', vocabulary.requestFeatures);
    this.utilityWeights = Float64Array.from(vocabulary.actions, (a) => a.utilityWeight);
    this.#budgets = budgets;
  }

  /** The default outcome budgets of a surface of this release. */
  budgets(surface: string): readonly DefaultBudget[] {
    return Object.hasOwn(this.#budgets, surface) ? this.#budgets[surface]! : [];
  }
}
