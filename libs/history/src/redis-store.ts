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
  IS_EFFECTIVE_LUA,
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
  type ActivePerson,
  type Appended,
  type HistoryOptions,
  type HistoryTail,
  type LatestEvents,
  type OpenHistoryStore,
} from './store.js';

// A history is one hash: the head, an event by its sequence, and the sequence by an event id's hash.
const PREFIX = 'onepass:history:';
const HEAD = 'head';

/** Events that one command reads. */
const PAGE = 512;

/** `head`, and `last`, its sequence. */
const READ_HEAD = `
local key, head, last = KEYS[1], redis.call('HGET', KEYS[1], '${HEAD}'), 0
for i = 1, 6 do last = last * 256 + (head and head:byte(i) or 0) end
local function page(from, to)
  local fields = {}
  for sequence = from, to do fields[#fields + 1] = string.format('%d', sequence) end
  return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
end`;

/** Answers the head, the value at ARGV[1], and those after it, ARGV[2] at most. */
const TAIL = script(`${READ_HEAD}
local from, to = tonumber(ARGV[1]), math.min(last, ARGV[1] + ARGV[2])
local answer = { head, redis.call('HGET', key, ARGV[1]) }
for first = from + 1, to, ${PAGE} do
  for _, value in ipairs(page(first, math.min(to, first + ${PAGE - 1}))) do answer[#answer + 1] = value end
end
return answer`);

/** Answers the head, then sequence and value of the newest ARGV[1] effective events before ARGV[2], newest first. */
const LATEST = script(`${READ_HEAD}
local count, to, answer = 2 * ARGV[1], math.min(last, ARGV[2] - 1), { head }
while to > 0 and #answer <= count do
  local from = math.max(1, to - ${PAGE - 1})
  local values = page(from, to)
  for i = #values, 1, -1 do
    local value = values[i]
    if #answer <= count and ${IS_EFFECTIVE_LUA} then
      answer[#answer + 1] = string.format('%d', from + i - 1)
      answer[#answer + 1] = value
    end
  end
  to = from - 1
end
return answer`);

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
): Promise<OpenHistoryStore> {
  return new RedisHistory(await openRedis('history store', place, terms), terms.now ?? Date.now);
}

class RedisHistory implements OpenHistoryStore {
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
    return endOf(await readHead(this.#redis, keyOf(person)));
  }

  async tail(person: string, after: number, limit: number): Promise<HistoryTail> {
    const [head, before, ...values] = await this.#redis.read(TAIL, [keyOf(person)], [String(after), String(limit)]);
    return {
      head: endOf(headOf(head)),
      afterHash: after === 0 ? 0n : before ? decodeHash(before) : undefined,
      events: values.map((value, i) => decodeEvent(value!, after + 1 + i)),
    };
  }

  async latest(person: string, count: number, before = Number.MAX_SAFE_INTEGER): Promise<LatestEvents> {
    const [head, ...rows] = await this.#redis.read(LATEST, [keyOf(person)], [String(count), String(before)]);
    const events: HistoryEvent[] = [];
    for (let i = 0; i < rows.length; i += 2) events.push(decodeEvent(rows[i + 1]!, Number(rows[i])));
    return { head: endOf(headOf(head)), events: events.reverse() };
  }

  async actedItemIds(person: string): Promise<ActedItems> {
    const key = keyOf(person);
    const head = await readHead(this.#redis, key);
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

  async *activePersons(sinceMs: number): AsyncIterable<ActivePerson> {
    for await (const page of this.#redis.tagPages(PREFIX)) {
      const heads = await Promise.all(page.map((person) => readHead(this.#redis, keyOf(person))));
      for (const [i, { sequence, effectiveMs }] of heads.entries()) {
        // Forgotten since the page was read: nothing.
        if (sequence > 0 && effectiveMs >= sinceMs) yield { person: page[i]!, lastMs: effectiveMs, events: sequence };
      }
    }
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
  const held = headOf(headBytes);
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
  const written = await redis.write(APPEND, [key], values);
  return written === 1 ? { results, head: endOf(changes.head) } : undefined;
}

/** Values by sequence, as they were under the head given; undefined when the head is another one by now. */
async function valuesUnder(redis: RedisRecords, key: string, held: StoredHead, wanted: readonly number[]) {
  const [head, ...values] = await redis.fields(key, [HEAD, ...wanted.map(String)]);
  if (encodeHead(headOf(head)).compare(encodeHead(held)) !== 0) return undefined;
  return new Map(wanted.map((sequence, i) => [sequence, values[i]!]));
}

async function readHead(redis: RedisRecords, key: string): Promise<StoredHead> {
  const [head] = await redis.fields(key, [HEAD]);
  return headOf(head);
}

function headOf(bytes: Buffer | null | undefined): StoredHead {
  return bytes ? decodeHead(bytes) : EMPTY_HEAD;
}

function sequences(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}
