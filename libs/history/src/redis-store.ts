import { unavailable } from '@onepass/errors';
import { admit, changesOf, leavingSpan } from './append.js';
import { checkedPerson, idHash } from './bytes.js';
import {
  decodeEvent,
  decodeHash,
  decodeHead,
  decodeItemId,
  EMPTY_HEAD,
  encodeHead,
  endOf,
  isEffective,
  type StoredHead,
} from './codec.js';
import type { HistoryEvent, HistoryHead, NewEvent } from './event.js';
import { OneAtATime } from './one-at-a-time.js';
import { openRedis, type RedisRecords, type RedisTerms, script } from './redis.js';
import type { RedisPlace } from './settings.js';
import {
  ACTED_ITEMS,
  type ActedItems,
  type Appended,
  type HistoryOptions,
  type HistoryStore,
  type HistoryTail,
  type LatestEvents,
} from './store.js';

// A history is one hash: the head, an event by its sequence, and the sequence by an event id's hash.
const PREFIX = 'onepass:history:';
const HEAD = 'head';

/** Events that one command reads. */
const PAGE = 512;

/** How often a read of several steps is begun anew because writes came between them. */
const READS = 10;

/**
 * Writes what was worked out from a head, if that is still the head. ARGV: head held ('' for none), number of fields to set,
 * those fields each with its value, and fields to drop each with the value under which it is dropped.
 */
const APPEND = script(`
local key, held = KEYS[1], redis.call('HGET', KEYS[1], '${HEAD}') or ''
if held ~= ARGV[1] then return 0 end
local sets = 2 + 2 * tonumber(ARGV[2])
for i = 3, sets, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
for i = sets + 1, #ARGV, 2 do
  if redis.call('HGET', key, ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', key, ARGV[i]) end
end
return 1`);

/**
 * Histories in a Redis or Redis Cluster.
 * @throws OnepassError `startup`, one sentence that names the server and the setting
 */
export async function openRedisHistory(
  place: RedisPlace,
  terms: RedisTerms & Partial<HistoryOptions>,
): Promise<HistoryStore> {
  return new RedisHistory(await openRedis('history store', place, terms), terms.now ?? Date.now);
}

class RedisHistory implements HistoryStore {
  readonly #redis: RedisRecords;
  readonly #now: () => number;
  readonly #writes = new OneAtATime();

  constructor(redis: RedisRecords, now: () => number) {
    this.#redis = redis;
    this.#now = now;
  }

  async append(person: string, events: readonly NewEvent[]): Promise<Appended> {
    const key = keyOf(person);
    return this.#writes.run(key, () => appendOnce(this.#redis, key, events, this.#now()));
  }

  async head(person: string): Promise<HistoryHead> {
    return endOf((await new Snapshot(this.#redis, keyOf(person)).events([])).head);
  }

  async tail(person: string, after: number, limit: number): Promise<HistoryTail> {
    return atOneMoment(this.#redis, person, async (snapshot) => {
      const first = await snapshot.events(sequences(after, after + Math.min(limit, PAGE)));
      const { head } = first;
      const before = first.values.get(after);
      const last = Math.min(head.sequence, after + limit);
      const events = inOrder(first.values, after + 1, last);
      for (let from = after + PAGE + 1; from <= last; from += PAGE) {
        const page = sequences(from, Math.min(last, from + PAGE - 1));
        events.push(...inOrder((await snapshot.events(page)).values, from, last));
      }
      return {
        head: endOf(head),
        afterHash: before === undefined ? (after === 0 ? 0n : undefined) : decodeHash(before),
        events,
      };
    });
  }

  async latest(person: string, count: number, before?: number): Promise<LatestEvents> {
    return atOneMoment(this.#redis, person, async (snapshot) => {
      const { head } = await snapshot.events([]);
      const events: HistoryEvent[] = [];
      let to = Math.min(head.sequence, (before ?? Infinity) - 1);
      while (to > 0 && events.length < count) {
        const from = Math.max(1, to + 1 - Math.min(PAGE, Math.max(16, count - events.length)));
        const { values } = await snapshot.events(sequences(from, to));
        const effective = inOrder(values, from, to).filter(({ sequence }) => isEffective(values.get(sequence)!));
        events.unshift(...effective.slice(-(count - events.length)));
        to = from - 1;
      }
      return { head: endOf(head), events };
    });
  }

  async actedItemIds(person: string): Promise<ActedItems> {
    const key = keyOf(person);
    const { head } = await new Snapshot(this.#redis, key).events([]);
    const itemIds = new Set<string>();
    const oldest = Math.max(1, head.sequence - ACTED_ITEMS.events + 1);
    for (let to = head.sequence; to >= oldest && itemIds.size < ACTED_ITEMS.items; to -= PAGE) {
      const page = sequences(Math.max(oldest, to - PAGE + 1), to).reverse();
      for (const value of await this.#redis.fields(key, page.map(String))) {
        const itemId = value !== null && isEffective(value) ? decodeItemId(value) : undefined;
        if (itemId !== undefined && itemIds.size < ACTED_ITEMS.items) itemIds.add(itemId);
      }
    }
    return { head: endOf(head), itemIds: [...itemIds].reverse() };
  }

  async forget(person: string): Promise<void> {
    await this.#redis.drop(keyOf(person));
  }

  persons(): AsyncIterable<string> {
    return this.#redis.tags(PREFIX);
  }

  close(): Promise<void> {
    return this.#redis.close();
  }
}

/** The person's hash tag keeps all of a person's keys in one slot of a cluster. */
function keyOf(person: string): string {
  return `${PREFIX}{${checkedPerson(person)}}`;
}

function idField(eventId: string): string {
  return `id:${idHash(eventId).toString('base64url')}`;
}

/** @returns undefined when another process wrote in between: nothing was written then */
async function appendOnce(
  redis: RedisRecords,
  key: string,
  events: readonly NewEvent[],
  nowMs: number,
): Promise<Appended | undefined> {
  const eventIds = [...new Set(events.map((event) => event.eventId))];
  const [headBytes, ...led] = await redis.fields(key, [HEAD, ...eventIds.map(idField)]);
  const held = headBytes ? decodeHead(headBytes) : EMPTY_HEAD;
  const known = new Map(eventIds.flatMap((id, i) => (led[i] ? [[id, Number(led[i])] as const] : [])));
  const leaving = leavingSpan(held.sequence, held.sequence + events.length);
  const wanted = [...new Set([...known.values(), ...leaving.filter((sequence) => sequence <= held.sequence)])];
  const older = wanted.length === 0 ? new Map<number, Buffer>() : await valuesUnder(redis, key, held, wanted);
  if (older === undefined) return undefined;

  const { results, admitted } = admit(events, held.sequence, nowMs, (id) => {
    const sequence = known.get(id);
    return sequence === undefined ? undefined : { sequence, retracted: !isEffective(older.get(sequence)!) };
  });
  if (admitted.length === 0) return { results, head: endOf(held) };
  const changes = changesOf(admitted, held, (sequence) => older.get(sequence)!);
  const sets = [
    [HEAD, encodeHead(changes.head)] as const,
    ...[...changes.events].map(([sequence, bytes]) => [String(sequence), bytes] as const),
    ...[...changes.ids].map(([id, sequence]) => [idField(id), String(sequence)] as const),
  ];
  const drops = leavingSpan(held.sequence, changes.head.sequence).map((sequence) => {
    const value = changes.events.get(sequence) ?? older.get(sequence)!;
    // A retract's id leads to the event it took back: it is dropped with that one.
    return [idField(decodeEvent(value, sequence).eventId), String(sequence)] as const;
  });
  const values = [headBytes ?? '', String(sets.length), ...sets.flat(), ...drops.flat()];
  const written = await redis.run(APPEND, [key], values);
  return written === 1 ? { results, head: endOf(changes.head) } : undefined;
}

/** Values by sequence, as they were under the head given; undefined when the head is another one by now. */
async function valuesUnder(redis: RedisRecords, key: string, held: StoredHead, wanted: readonly number[]) {
  const { head, values } = await new Snapshot(redis, key).events(wanted);
  return sameHead(head, held) ? values : undefined;
}

/** Several reads of one history that must be of one moment. */
class Snapshot {
  /** Whether the history was another one at a later read: what was read does not belong together. */
  torn = false;
  readonly #redis: RedisRecords;
  readonly #key: string;
  #head: StoredHead | undefined;

  constructor(redis: RedisRecords, key: string) {
    this.#redis = redis;
    this.#key = key;
  }

  /** Values by sequence, of those that there are. */
  async events(wanted: readonly number[]): Promise<{ head: StoredHead; values: Map<number, Buffer> }> {
    const [headBytes, ...found] = await this.#redis.fields(this.#key, [HEAD, ...wanted.map(String)]);
    const head = headBytes ? decodeHead(headBytes) : EMPTY_HEAD;
    this.#head ??= head;
    this.torn ||= !sameHead(head, this.#head);
    return { head, values: new Map(wanted.flatMap((sequence, i) => (found[i] ? [[sequence, found[i]]] : []))) };
  }
}

/** Repeats a read until no write came between its steps. */
async function atOneMoment<T>(
  redis: RedisRecords,
  person: string,
  read: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  const key = keyOf(person);
  for (let tries = 1; tries <= READS; tries++) {
    const snapshot = new Snapshot(redis, key);
    const result = await read(snapshot);
    if (!snapshot.torn) return result;
  }
  throw unavailable('the history store cannot be read: the history is written too fast');
}

function sameHead(one: HistoryHead, other: HistoryHead): boolean {
  return one.sequence === other.sequence && one.hash === other.hash;
}

function sequences(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}

function inOrder(values: ReadonlyMap<number, Buffer>, from: number, to: number): HistoryEvent[] {
  return sequences(from, to).flatMap((sequence) => {
    const value = values.get(sequence);
    return value === undefined ? [] : [decodeEvent(value, sequence)];
  });
}
