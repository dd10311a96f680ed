import { quoted, type Violations } from './fields.js';

/** An action of the release with its default weight in the utility. */
export interface WeightedAction {
  readonly name: string;
  readonly utilityWeight: number;
}

/** Largest size of a weight: with it no sum of weighted probabilities leaves float32. */
export const UTILITY_WEIGHT = 1e6;

/**
 * Weights in force, by action name: the release's, replaced where the request names an action. utility = sum over actions of
 * weight x probability; negative weights count against an item.
 */
export function resolveUtilityWeights(
  actions: readonly WeightedAction[],
  requested: Readonly<Record<string, number>>,
  violations: Violations,
): Record<string, number> {
  const weights = Object.fromEntries(actions.map((action) => [action.name, action.utilityWeight]));
  for (const [name, weight] of Object.entries(requested)) {
    const field = `utility_weights[${quoted(name)}]`;
    if (!Object.hasOwn(weights, name)) violations.add(field, 'is not an action of the release');
    else if (!(Math.abs(weight) <= UTILITY_WEIGHT))
      violations.add(field, `must be a number from -${UTILITY_WEIGHT} to ${UTILITY_WEIGHT}`);
    else weights[name] = weight;
  }
  return weights;
}

/**
 * Indices by utility, best first, ties by item id; what is not a finite number is left out, so that it never outranks one.
 * @param utilities as long as `itemIds`
 */
export function orderByUtility(itemIds: readonly string[], utilities: ArrayLike<number>): number[] {
  const order: number[] = [];
  for (let i = 0; i < itemIds.length; i++) if (Number.isFinite(utilities[i])) order.push(i);
  return order.sort((a, b) => {
    const difference = (utilities[b] as number) - (utilities[a] as number);
    if (difference !== 0) return difference;
    return (itemIds[a] as string) < (itemIds[b] as string) ? -1 : 1;
  });
}
