import { connect, user } from '@onepass/client';
import { seededRandom } from '@onepass/contracts';
import type { Habits } from './page.js';

const MINUTE_MS = 60_000;

/** The people of a benchmark. */
export const personId = (person: number) => `bench-${person}`;

/**
 * Gives `count` people a history of `length` actions each, the same for the same items: two to three minutes apart, ending an
 * hour ago, every eighth a seldom one.
 * @param itemIds of the release
 */
export async function writeHistories(
  address: string,
  itemIds: readonly string[],
  habits: Habits,
  { count, length, nowMs }: { count: number; length: number; nowMs: number },
): Promise<void> {
  const onepass = connect(address);
  const random = seededRandom(1);
  const begin = nowMs - 60 * MINUTE_MS - length * 3 * MINUTE_MS;
  try {
    for (let person = 0; person < count; person += 1) {
      const events = Array.from({ length }, (_, i) => ({
        eventId: `${personId(person)}-${i}`,
        itemId: itemIds[Math.floor(random() * itemIds.length)] ?? '',
        actions: [...(i % 8 === 7 ? habits.seldom : habits.usual)],
        surface: habits.surface,
        timeMs: BigInt(Math.round(begin + (i * 3 - random()) * MINUTE_MS)),
      }));
      await onepass.logActions({ person: user(personId(person)), events });
    }
  } finally {
    onepass.close();
  }
}
