import { connect, KvSource, type RecommendResponse, user } from '@onepass/client';
import { startupError } from '@onepass/errors';
import type { MeasuredPage } from './page.js';
import { personId } from './people.js';

/** Tries that a person's page gets to become whole and warm: after a start, the first ones may be late. */
const TRIES = 20;

/**
 * Asks for each person's page until it is whole and, where KV is `kept` from request to request, made on KV that was held already.
 * @throws OnepassError `startup` when a page does not become so
 */
export async function warmUp(
  address: string,
  page: MeasuredPage,
  { people, kept }: { people: number; kept: boolean },
): Promise<void> {
  const onepass = connect(address);
  try {
    for (let person = 0; person < people; person += 1) {
      let problem: string | undefined = 'it was not asked for';
      for (let tries = 0; problem !== undefined && tries < TRIES; tries += 1) {
        problem = coldness(await onepass.recommend({ person: user(personId(person)), ...page }), kept);
      }
      if (problem !== undefined) throw startupError(`a page that should be warm is not: ${problem}`);
    }
  } finally {
    onepass.close();
  }
}

/** Why a page is not a warm one; undefined when it is. */
function coldness({ degraded, kvSource }: RecommendResponse, kept: boolean): string | undefined {
  if (degraded.length > 0) return degraded.map(({ detail }) => detail).join('; ');
  return !kept || kvSource === KvSource.SLOT ? undefined : `its KV came from ${KvSource[kvSource]}`;
}
