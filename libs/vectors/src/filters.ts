import type { AttributeFilter, NumberRange } from '@onepass/contracts';
import { invalidArgument } from '@onepass/errors';
import type { ItemMetadata } from '@onepass/release';

/** A condition on rows, ready to be asked. */
export type RowTest = (row: number) => boolean;

/** Text values of one attribute as numbers: row r has codes[starts[r]] up to codes[starts[r + 1]]. */
interface TextColumn {
  readonly dictionary: ReadonlyMap<string, number>;
  readonly starts: Uint32Array;
  readonly codes: Uint32Array;
}

/** Item attributes as columns, against which filters are evaluated. */
export class AttributeColumns {
  readonly #texts = new Map<string, TextColumn>();
  /** By row; NaN = the item does not have the attribute. */
  readonly #numbers = new Map<string, Float64Array>();

  constructor({ attributes, declared }: Pick<ItemMetadata, 'attributes' | 'declared'>) {
    for (const [name, type] of declared) {
      const values = attributes.map((a) => (Object.hasOwn(a, name) ? a[name] : undefined));
      if (type === 'number')
        this.#numbers.set(
          name,
          Float64Array.from(values, (v) => (v as number) ?? Number.NaN),
        );
      else this.#texts.set(name, textColumn(values.map((v) => texts(v as string | readonly string[] | undefined))));
    }
  }

  /**
   * One condition for each filter. A list matches `any_of` when any of its values is named, and `none_of` when none is; an item
   * without the attribute matches `none_of` only.
   * @throws OnepassError `invalid_argument` naming `<field>[i].attribute` or the condition
   */
  compile(filters: readonly AttributeFilter[], field: string): RowTest[] {
    return filters.map((filter, i) => this.#compileOne(filter, `${field}[${i}]`));
  }

  #compileOne({ attribute, condition }: AttributeFilter, field: string): RowTest {
    const numbers = this.#numbers.get(attribute);
    const column = this.#texts.get(attribute);
    switch (condition.case) {
      case 'range':
        if (numbers) return rangeTest(numbers, condition.value, `${field}.range`);
        if (column) throw invalidArgument(`${field}.range`, `"${attribute}" is a text: use any_of or none_of`);
        break;
      case 'anyOf':
      case 'noneOf': {
        const name = condition.case === 'anyOf' ? 'any_of' : 'none_of';
        if (numbers) throw invalidArgument(`${field}.${name}`, `"${attribute}" is a number: use range`);
        if (column)
          return textTest(column, condition.value.values, { field: `${field}.${name}`, none: name === 'none_of' });
        break;
      }
      default:
        throw invalidArgument(field, 'must have any_of, none_of or range');
    }
    const known = [...this.#texts.keys(), ...this.#numbers.keys()].sort().join(', ');
    throw invalidArgument(`${field}.attribute`, `"${attribute}" is not one of the release's attributes: ${known}`);
  }
}

/** All of them as one condition; undefined = there are none. */
export function allHold(tests: readonly RowTest[]): RowTest | undefined {
  if (tests.length <= 1) return tests[0];
  return (row) => {
    for (const test of tests) if (!test(row)) return false;
    return true;
  };
}

function texts(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

function textColumn(values: readonly (readonly string[])[]): TextColumn {
  const dictionary = new Map<string, number>();
  const starts = new Uint32Array(values.length + 1);
  const codes: number[] = [];
  for (const [row, list] of values.entries()) {
    for (const text of list) {
      const code = dictionary.get(text) ?? dictionary.size;
      dictionary.set(text, code);
      codes.push(code);
    }
    starts[row + 1] = codes.length;
  }
  return { dictionary, starts, codes: Uint32Array.from(codes) };
}

function textTest(
  { dictionary, starts, codes }: TextColumn,
  values: readonly string[],
  { field, none }: { field: string; none: boolean },
): RowTest {
  if (values.length === 0) throw invalidArgument(field, 'must name at least one value');
  const named = new Uint8Array(dictionary.size);
  for (const value of values) {
    const code = dictionary.get(value);
    // A value that no item has is a condition like any other.
    if (code !== undefined) named[code] = 1;
  }
  return (row) => {
    for (let i = starts[row]!; i < starts[row + 1]!; i++) if (named[codes[i]!] === 1) return !none;
    return none;
  };
}

function rangeTest(
  numbers: Float64Array,
  { minimum = -Infinity, maximum = Infinity }: NumberRange,
  field: string,
): RowTest {
  if (Number.isNaN(minimum) || Number.isNaN(maximum)) throw invalidArgument(field, 'must not be NaN');
  if (minimum > maximum) throw invalidArgument(field, `minimum ${minimum} is above maximum ${maximum}`);
  return (row) => numbers[row]! >= minimum && numbers[row]! <= maximum;
}
