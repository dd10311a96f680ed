import { OnepassError, unavailable } from '@onepass/errors';

/**
 * What a store's method rejects with.
 * @param what the store, for the sentence
 */
export function storeFailure(what: string, verb: 'read' | 'written', error: unknown): OnepassError {
  // A defect of the caller, such as a wrong key or a number that its place cannot hold.
  const ours = error instanceof OnepassError || error instanceof TypeError || error instanceof RangeError;
  if (ours) return OnepassError.from(error);
  return unavailable(`the ${what} cannot be ${verb}`, error);
}
