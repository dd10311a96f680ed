import { closeSync, existsSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { OnepassError, startupError, unavailable } from '@onepass/errors';
import { type Database, open, type RootDatabase } from 'lmdb';
import { type Admitted, admit, type KnownEvent } from './append.js';
import {
  decodeEvent,
  decodeHash,
  decodeHead,
  decodeItemId,
  EMPTY_HEAD,
  encodeEvent,
  encodeHead,
  isEffective,
  markRetracted,
  type StoredHead,
} from './codec.js';
import { DUPLICATE_SPAN, type HistoryEvent, type HistoryHead, type NewEvent } from './event.js';
import { eventKey, headKey, idKey, sequenceFrom, sequenceOf, sequenceValue } from './lmdb-keys.js';
import {
  ACTED_ITEMS,
  type ActedItems,
  type Appended,
  type HistoryStore,
  type HistoryTail,
  type LatestEvents,
} from './store.js';

export interface LmdbOptions {
  /** Address space for the data file, in bytes; the file itself grows as it is written, and lmdb-js maps it anew when it outgrows this. */
  readonly mapBytes: number;
  /** Readers at one time over all processes: one a process. */
  readonly maxReaders: number;
  /** The server's clock, epoch milliseconds. */
  readonly now: () => number;
}

export const LMDB_DEFAULTS: LmdbOptions = { mapBytes: 64 * 2 ** 30, maxReaders: 126, now: Date.now };

const LMDB_MAGIC = 0xbeefc0de;

/** Events that one turn of the event loop may scan. */
const SCAN_CHUNK = 512;

/**
 * Histories in an LMDB environment in `directory`, which is made when missing. Any number of processes may have it open.
 * @throws OnepassError `startup` naming the directory when it cannot be made or opened.
 */
export function openLmdbHistory(directory: string, options: Partial<LmdbOptions> = {}): HistoryStore {
  const settings = { ...LMDB_DEFAULTS, ...options };
  try {
    mkdirSync(directory, { recursive: true });
    checkDataFile(join(directory, 'data.mdb'));
    const database = open<Buffer, Buffer>({
      path: directory,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      mapSize: settings.mapBytes,
      maxReaders: settings.maxReaders,
      // By default lmdb-js answers a write when it is visible and syncs afterwards; here the sync is part of the commit,
      // so that what is acknowledged, or seen by a reader, is durable.
      overlappingSync: false,
    });
    return new LmdbHistory(database, settings.now);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw startupError(`history store in ${directory} cannot be opened: ${reason}`, error);
  }
}

/** lmdb-js dies by a signal when it opens a file that is not LMDB's. */
function checkDataFile(path: string): void {
  if (!existsSync(path)) return;
  const start = Buffer.alloc(28);
  const file = openSync(path, 'r');
  const bytes = readSync(file, start);
  closeSync(file);
  if (bytes > 0 && start.readUInt32LE(24) !== LMDB_MAGIC) throw new Error('data.mdb is not an LMDB data file');
}

class LmdbHistory implements HistoryStore {
  readonly #database: RootDatabase<Buffer, Buffer>;
  readonly #now: () => number;

  constructor(database: RootDatabase<Buffer, Buffer>, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  async append(person: string, events: readonly NewEvent[]): Promise<Appended> {
    try {
      // A child transaction is undone as a whole when it throws; writes of the same event turn share one commit and sync.
      return await this.#database.childTransaction(() => appendIn(this.#database, person, events, this.#now()));
    } catch (error) {
      throw down('written', error);
    }
  }

  async head(person: string): Promise<HistoryHead> {
    return this.#read(() => endOf(readHead(this.#database, person)));
  }

  async tail(person: string, after: number, limit: number): Promise<HistoryTail> {
    return this.#read(() => {
      const database = this.#database;
      const before = after === 0 ? undefined : database.get(eventKey(person, after));
      const events: HistoryEvent[] = [];
      for (const { key, value } of database.getRange({
        start: eventKey(person, after + 1),
        end: eventKey(person, after + 1 + limit),
      })) {
        events.push(decodeEvent(value, sequenceOf(key)));
      }
      return {
        head: endOf(readHead(database, person)),
        afterHash: before === undefined ? (after === 0 ? 0n : undefined) : decodeHash(before),
        events,
      };
    });
  }

  async latest(person: string, count: number, before?: number): Promise<LatestEvents> {
    return this.#read(() => {
      const head = readHead(this.#database, person);
      const events: HistoryEvent[] = [];
      if (count > 0) {
        for (const { key, value } of backwards(this.#database, person, (before ?? head.sequence + 1) - 1)) {
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
      this.#read(() => collectItems(this.#database, person, { from: sequence, to: chunkEnd }, itemIds));
      sequence = chunkEnd;
      // A long history is read over several turns, so that it holds nobody else up.
      if (sequence > oldest) await setImmediate();
    }
    return { head, itemIds: [...itemIds].reverse() };
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  /** One consistent read of the newest commit: lmdb-js would else reuse a snapshot taken earlier in this turn. */
  #read<T>(read: () => T): T {
    try {
      this.#database.resetReadTxn();
      return read();
    } catch (error) {
      throw down('read', error);
    }
  }
}

function down(verb: string, error: unknown): OnepassError {
  if (error instanceof OnepassError || error instanceof TypeError) return OnepassError.from(error);
  return unavailable(`the history store cannot be ${verb}`, error);
}

type Events = Database<Buffer, Buffer>;

/** Runs inside a write transaction, which reads its own writes. */
function appendIn(database: Events, person: string, events: readonly NewEvent[], nowMs: number): Appended {
  const held = readHead(database, person);
  const { results, admitted } = admit(events, held.sequence, nowMs, (id) => knownEvent(database, person, id));
  let head = held;
  for (const one of admitted) head = writeEvent(database, person, one, head);
  if (head !== held) database.put(headKey(person), encodeHead(head));
  return { results, head: endOf(head) };
}

function writeEvent(database: Events, person: string, one: Admitted, head: StoredHead): StoredHead {
  const { event, sequence, retracts } = one;
  const effectiveMs = Math.max(event.timeMs, head.effectiveMs);
  const { bytes, hash } = encodeEvent({ ...event, effectiveMs, retracts }, head.hash);
  database.put(eventKey(person, sequence), bytes);
  if (retracts === undefined) {
    database.put(idKey(person, event.eventId), sequenceValue(sequence));
  } else {
    const key = eventKey(person, retracts);
    database.put(key, markRetracted(database.get(key)!));
  }
  forgetId(database, person, sequence - DUPLICATE_SPAN);
  return { sequence, hash, effectiveMs };
}

/** Drops the id of an event that has left the span of recognised repeats. */
function forgetId(database: Events, person: string, sequence: number): void {
  const bytes = sequence > 0 ? database.get(eventKey(person, sequence)) : undefined;
  if (bytes === undefined) return;
  const key = idKey(person, decodeEvent(bytes, sequence).eventId);
  const value = database.get(key);
  // A retract's id leads to the event it took back.
  if (value !== undefined && sequenceFrom(value) === sequence) database.remove(key);
}

function knownEvent(database: Events, person: string, eventId: string): KnownEvent | undefined {
  const value = database.get(idKey(person, eventId));
  if (value === undefined) return undefined;
  const sequence = sequenceFrom(value);
  return { sequence, retracted: !isEffective(database.get(eventKey(person, sequence))!) };
}

function readHead(database: Events, person: string): StoredHead {
  const bytes = database.get(headKey(person));
  return bytes === undefined ? EMPTY_HEAD : decodeHead(bytes);
}

function endOf({ sequence, hash }: StoredHead): HistoryHead {
  return { sequence, hash };
}

function backwards(database: Events, person: string, from: number, to = 0) {
  return database.getRange({ start: eventKey(person, from), end: eventKey(person, to), reverse: true });
}

function collectItems(
  database: Events,
  person: string,
  span: { from: number; to: number },
  itemIds: Set<string>,
): void {
  for (const { value } of backwards(database, person, span.from, span.to)) {
    const itemId = isEffective(value) ? decodeItemId(value) : undefined;
    if (itemId !== undefined) itemIds.add(itemId);
    if (itemIds.size === ACTED_ITEMS.items) return;
  }
}
