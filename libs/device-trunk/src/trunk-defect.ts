import { OnepassError } from '@onepass/errors';

/** What went wrong inside: the sentence is for the log. */
export function trunkDefect(sentence: string): OnepassError {
  return new OnepassError({ kind: 'internal' }, 'a graph run failed', { cause: new Error(sentence) });
}
