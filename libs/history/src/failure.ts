import { OnepassError, unavailable } from '@onepass/errors';

/**
 * What a store's method rejects with.
 * @param what the store, for the sentence
 */
export function storeFailure(what: string, verb: 'read' | 'written', error: unknown): OnepassError {
  // A TypeError is a defect of the caller, such as a wrong key.
  if (error instanceof OnepassError || error instanceof TypeError) return OnepassError.from(error);
  return unavailable(`the ${what} cannot be ${verb}`, error);
}
