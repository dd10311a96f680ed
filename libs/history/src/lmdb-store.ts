import { setImmediate } from 'node:timers/promises';
import { admit, changesOf, type KnownEvent, leavingSpan } from './append.js';
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
import { type Lmdb, type LmdbOptions, openLmdb, type Records, removeRange } from './lmdb.js';
import {
  afterPerson,
  eventKey,
  headKey,
  idKey,
  personOf,
  sequenceFrom,
  sequenceOf,
  sequenceValue,
} from './lmdb-keys.js';
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

/** Events that one turn of the event loop may scan, and persons. */
const SCAN_CHUNK = 512;
const PERSONS_PAGE = 512;

/**
 * Histories in an LMDB environment; see `openLmdb`.
 * @throws OnepassError `startup` naming the directory when it cannot be made or opened.
 */
export function openLmdbHistory(
  directory: string,
  options: Partial<LmdbOptions & HistoryOptions> = {},
): OpenHistoryStore {
  return new LmdbHistory(openLmdb('history store', directory, options), options.now ?? Date.now);
}

class LmdbHistory implements OpenHistoryStore {
  readonly #lmdb: Lmdb;
  readonly #now: () => number;

  constructor(lmdb: Lmdb, now: () => number) {
    this.#lmdb = lmdb;
    this.#now = now;
  }

  append(person: string, events: readonly NewEvent[]): Promise<Appended> {
    return this.#lmdb.write((records) => appendIn(records, person, events, this.#now()));
  }

  async head(person: string): Promise<HistoryHead> {
    return this.#lmdb.read((records) => endOf(readHead(records, person)));
  }

  async tail(person: string, after: number, limit: number): Promise<HistoryTail> {
    return this.#lmdb.read((records) => {
      const before = after === 0 ? undefined : records.get(eventKey(person, after));
      const events: HistoryEvent[] = [];
      for (const { key, value } of records.getRange({
        start: eventKey(person, after + 1),
        end: eventKey(person, after + 1 + limit),
      })) {
        events.push(decodeEvent(value, sequenceOf(key)));
      }
      return {
        head: endOf(readHead(records, person)),
        afterHash: before === undefined ? (after === 0 ? 0n : undefined) : decodeHash(before),
        events,
      };
    });
  }

  async latest(person: string, count: number, before?: number): Promise<LatestEvents> {
    return this.#lmdb.read((records) => {
      const head = readHead(records, person);
      const events: HistoryEvent[] = [];
      if (count > 0) {
        for (const { key, value } of backwards(records, person, (before ?? head.sequence + 1) - 1)) {
          if (!isEffective(value)) continue;
          events.push(decodeEvent(value, sequenceOf(key)));
          if (events.length === count) break;
        }
      }
      return { head: endOf(head), events: events.reverse() };
    });
  }

  async actedItemIds(person: string): Promise<ActedItems> {
    const head = await this.head(person);
    const itemIds = new Set<string>();
    let sequence = head.sequence;
    const oldest = Math.max(0, head.sequence - ACTED_ITEMS.events);
    while (sequence > oldest && itemIds.size < ACTED_ITEMS.items) {
      const chunkEnd = Math.max(oldest, sequence - SCAN_CHUNK);
      this.#lmdb.read((records) => collectItems(records, person, { from: sequence, to: chunkEnd }, itemIds));
      sequence = chunkEnd;
      // A long history is read over several turns, so that it holds nobody else up.
      if (sequence > oldest) await setImmediate();
    }
    return { head, itemIds: [...itemIds].reverse() };
  }

  forget(person: string): Promise<void> {
    return this.#lmdb.write((records) => removeRange(records, headKey(person), afterPerson(person)));
  }

  async *persons(): AsyncIterable<string> {
    for await (const page of this.#pages()) for (const { person } of page) yield person;
  }

  async *activePersons(sinceMs: number): AsyncIterable<ActivePerson> {
    for await (const page of this.#pages()) {
      for (const { person, head } of page) {
        if (head.effectiveMs >= sinceMs) yield { person, lastMs: head.effectiveMs, events: head.sequence };
      }
    }
  }

  async *#pages(): AsyncIterable<readonly PersonHead[]> {
    for (let start: Buffer = Buffer.alloc(0); ; ) {
      const page = this.#lmdb.read((records) => nextPersons(records, start));
      yield page;
      if (page.length < PERSONS_PAGE) return;
      start = afterPerson(page.at(-1)!.person);
      await setImmediate();
    }
  }

  async close(): Promise<void> {
    await this.#lmdb.close();
  }
}

/** Runs inside a write transaction, which reads its own writes. */
function appendIn(records: Records, person: string, events: readonly NewEvent[], nowMs: number): Appended {
  const held = readHead(records, person);
  const { results, admitted } = admit(events, held.sequence, nowMs, (id) => knownEvent(records, person, id));
  if (admitted.length === 0) return { results, head: endOf(held) };
  const changes = changesOf(admitted, held, (sequence) => records.get(eventKey(person, sequence))!);
  for (const [sequence, bytes] of changes.events) records.put(eventKey(person, sequence), bytes);
  for (const [eventId, sequence] of changes.ids) records.put(idKey(person, eventId), sequenceValue(sequence));
  records.put(headKey(person), encodeHead(changes.head));
  for (const sequence of leavingSpan(held.sequence, changes.head.sequence)) forgetId(records, person, sequence);
  return { results, head: endOf(changes.head) };
}

/** Drops the id of an event that has left the span of recognised repeats. */
function forgetId(records: Records, person: string, sequence: number): void {
  const key = idKey(person, decodeEvent(records.get(eventKey(person, sequence))!, sequence).eventId);
  const value = records.get(key);
  // A retract's id leads to the event it took back.
  if (value !== undefined && sequenceFrom(value) === sequence) records.remove(key);
}

function knownEvent(records: Records, person: string, eventId: string): KnownEvent | undefined {
  const value = records.get(idKey(person, eventId));
  if (value === undefined) return undefined;
  const sequence = sequenceFrom(value);
  return { sequence, retracted: !isEffective(records.get(eventKey(person, sequence))!) };
}

function readHead(records: Records, person: string): StoredHead {
  const bytes = records.get(headKey(person));
  return bytes === undefined ? EMPTY_HEAD : decodeHead(bytes);
}

function backwards(records: Records, person: string, from: number, to = 0) {
  return records.getRange({ start: eventKey(person, from), end: eventKey(person, to), reverse: true });
}

interface PersonHead {
  readonly person: string;
  readonly head: StoredHead;
}

/** The persons from `start` on; a person's first record is the head. */
function nextPersons(records: Records, start: Buffer): PersonHead[] {
  const persons: PersonHead[] = [];
  while (persons.length < PERSONS_PAGE) {
    const from = persons.length === 0 ? start : afterPerson(persons.at(-1)!.person);
    const [first] = records.getRange({ start: from, limit: 1 });
    if (first === undefined) break;
    persons.push({ person: personOf(first.key), head: decodeHead(first.value) });
  }
  return persons;
}

function collectItems(
  records: Records,
  person: string,
  span: { from: number; to: number },
  itemIds: Set<string>,
): void {
  for (const { value } of backwards(records, person, span.from, span.to)) {
    const itemId = isEffective(value) ? decodeItemId(value) : undefined;
    if (itemId !== undefined) itemIds.add(itemId);
    if (itemIds.size === ACTED_ITEMS.items) return;
  }
}
