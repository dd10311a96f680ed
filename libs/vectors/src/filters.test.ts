import type { AttributeFilter } from '@onepass/contracts';
import type { ItemAttribute } from '@onepass/release';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AttributeColumns, allHold } from './filters.js';
import { refusedRows } from './refused.js';

type Attributes = Record<string, ItemAttribute>;
type Condition = AttributeFilter['condition'];
const filter = (attribute: string, condition: Condition) => ({ attribute, condition }) as AttributeFilter;
const anyOf = (...values: string[]) => ({ case: 'anyOf', value: { values } }) as Condition;
const noneOf = (...values: string[]) => ({ case: 'noneOf', value: { values } }) as Condition;
const range = (minimum?: number, maximum?: number) => ({ case: 'range', value: { minimum, maximum } }) as Condition;

const declared = new Map([
  ['topic', 'text'],
  ['tags', 'texts'],
  ['price', 'number'],
] as const);
const columnsOf = (attributes: readonly Attributes[]) => new AttributeColumns({ attributes, declared });

describe('attribute filters', () => {
  const word = fc.constantFrom('a', 'b', 'c', 'd');
  const attributes: fc.Arbitrary<Attributes> = fc.record(
    { topic: word, tags: fc.array(word, { maxLength: 3 }), price: fc.integer({ min: 0, max: 5 }) },
    { requiredKeys: [] },
  );
  const words = fc.array(word, { minLength: 1, maxLength: 3 });
  const bound = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  const condition = fc.oneof(
    fc.tuple(fc.constantFrom('topic', 'tags'), words).map(([name, w]) => filter(name, anyOf(...w))),
    fc.tuple(fc.constantFrom('topic', 'tags'), words).map(([name, w]) => filter(name, noneOf(...w))),
    fc
      .tuple(bound, bound)
      .filter(([low = 0, high = 5]) => low <= high)
      .map(([low, high]) => filter('price', range(low, high))),
  );

  test('mean what the contract says', () => {
    const holds = (item: Attributes, { attribute, condition }: AttributeFilter): boolean => {
      const value = item[attribute];
      if (condition.case === 'range') {
        const { minimum = -Infinity, maximum = Infinity } = condition.value;
        return typeof value === 'number' && value >= minimum && value <= maximum;
      }
      const named = [value ?? []].flat().some((v) => condition.value?.values.includes(v as string));
      return condition.case === 'anyOf' ? named : !named;
    };
    fc.assert(
      fc.property(
        fc.array(attributes, { minLength: 1, maxLength: 12 }),
        fc.array(condition, { maxLength: 3 }),
        (all, filters) => {
          const test = allHold(columnsOf(all).compile(filters, 'filters')) ?? (() => true);
          const expected = all.map((item) => filters.every((one) => holds(item, one)));
          expect(all.map((_, row) => test(row))).toEqual(expected);
        },
      ),
      { seed: 11, numRuns: 500 },
    );
  });

  test('are refused by field', () => {
    const columns = columnsOf([{ topic: 'a', tags: ['b'], price: 1 }]);
    const refusals: [AttributeFilter, string][] = [
      [
        filter('shape', anyOf('a')),
        'filters[1].attribute: "shape" is not one of the release\'s attributes: price, tags, topic',
      ],
      [filter('toString', range(1)), 'filters[1].attribute: "toString"'],
      [filter('topic', { case: undefined }), 'filters[1]: must have any_of, none_of or range'],
      [filter('topic', anyOf()), 'filters[1].any_of: must name at least one value'],
      [filter('tags', noneOf()), 'filters[1].none_of: must name at least one value'],
      [filter('price', anyOf('1')), 'filters[1].any_of: "price" is a number'],
      [filter('topic', range(1, 2)), 'filters[1].range: "topic" is a text'],
      [filter('price', range(Number.NaN)), 'filters[1].range: must not be NaN'],
      [filter('price', range(3, 2)), 'filters[1].range: minimum 3 is above maximum 2'],
    ];
    for (const [wrong, sentence] of refusals) {
      expect(() => columns.compile([filter('topic', anyOf('a')), wrong], 'filters')).toThrow(sentence);
    }
  });

  test('and exclusions together mark the refused rows', () => {
    expect(refusedRows(5, [], undefined)).toBeUndefined();
    const refused = refusedRows(5, [1, 1, 4], (row) => row !== 0);
    expect([...refused!.marks]).toEqual([1, 1, 0, 0, 1]);
    expect(refused!.count).toBe(3);
  });
});
