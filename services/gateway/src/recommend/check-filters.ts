import type { AttributeFilter } from '@onepass/contracts';
import { quoted, type Violations } from '@onepass/pages';
import type { AttributeType } from '@onepass/release';
import { LIMITS } from './limits.js';

/** Each names an attribute of the release and asks something of it that its type can answer. */
export function checkFilters(
  filters: readonly AttributeFilter[],
  attributes: ReadonlyMap<string, AttributeType>,
  violations: Violations,
): void {
  violations.count('filters', filters.length, { minimum: 0, maximum: LIMITS.filters });
  for (const [i, { attribute, condition }] of filters.entries()) {
    const field = `filters[${i}]`;
    const type = attributes.get(attribute);
    if (type === undefined) {
      violations.add(`${field}.attribute`, `${quoted(attribute)} is not an attribute of the release's items`);
    } else if (condition.case === undefined) {
      violations.add(field, 'must have one of any_of, none_of, range');
    } else if (condition.case === 'range') {
      if (type !== 'number') violations.add(`${field}.range`, `${quoted(attribute)} is not a number`);
      checkRange(`${field}.range`, condition.value, violations);
    } else {
      const name = `${field}.${condition.case === 'anyOf' ? 'any_of' : 'none_of'}`;
      if (type === 'number') violations.add(name, `${quoted(attribute)} is a number and takes a range`);
      violations.count(`${name}.values`, condition.value.values.length, { minimum: 1, maximum: LIMITS.filterValues });
    }
  }
}

function checkRange(
  field: string,
  range: { minimum?: number | undefined; maximum?: number | undefined },
  violations: Violations,
): void {
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = range;
  if (Number.isNaN(minimum)) violations.add(`${field}.minimum`, 'must be a number');
  if (Number.isNaN(maximum)) violations.add(`${field}.maximum`, 'must be a number');
  if (minimum > maximum) violations.add(field, 'minimum is above maximum');
}

/** Everything that the filters say, the same for the same filters. */
export function filtersText(filters: readonly AttributeFilter[]): string {
  return JSON.stringify(
    filters.map(({ attribute, condition }) => [attribute, condition.case, conditionParts(condition)]),
  );
}

function conditionParts(condition: AttributeFilter['condition']): unknown {
  if (condition.case === 'range') {
    // As text: JSON has no infinities.
    return [String(condition.value.minimum), String(condition.value.maximum)];
  }
  return condition.value?.values;
}
