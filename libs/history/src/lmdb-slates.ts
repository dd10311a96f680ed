import { setImmediate } from 'node:timers/promises';
import { checkedPerson, idHash, numberBytes } from './bytes.js';
import { type Lmdb, type LmdbOptions, openLmdb, type Records, removeRange } from './lmdb.js';
import {
  decodeSlate,
  encodeSlate,
  inOrderOfTime,
  mergeOutcomes,
  ownerPerson,
  slateOwner,
  slateTime,
} from './slate-codec.js';
import type { LoggedSlate, Slate, SlateOutcome, SlateStore } from './slates.js';

// Two kinds of records: by time (tag, time, owner, id) without a value, and by owner (tag, owner, id, part). An owner is a
// person (1, then 16 bytes) or a part of nobody's slates (0, then 1 byte).
const TAG = { time: 0, slate: 1 } as const;
const PART = { slate: 0, outcomes: 1 } as const;
const ID_BYTES = 16;
const TIME_BYTES = 6;

/** Slates that one transaction drops. */
const PRUNE_CHUNK = 512;

/**
 * Slates in an LMDB environment; see `openLmdb`.
 * @throws OnepassError `startup` naming the directory when it cannot be made or opened.
 */
export function openLmdbSlates(directory: string, options: Partial<LmdbOptions> = {}): SlateStore {
  return new LmdbSlates(openLmdb('slate store', directory, options));
}

class LmdbSlates implements SlateStore {
  readonly #lmdb: Lmdb;

  constructor(lmdb: Lmdb) {
    this.#lmdb = lmdb;
  }

  record(slates: readonly Slate[]): Promise<void> {
    return this.#lmdb.write((records) => {
      for (const slate of slates) recordIn(records, slate);
    });
  }

  async get(person: string | undefined, slateId: string): Promise<LoggedSlate | undefined> {
    const owner = slateOwner(person, slateId);
    return this.#lmdb.read((records) => {
      const bytes = records.get(slateKey(owner, slateId, PART.slate));
      return bytes && decodeSlate(owner, bytes, records.get(slateKey(owner, slateId, PART.outcomes)));
    });
  }

  async addOutcomes(person: string | undefined, slateId: string, outcomes: readonly SlateOutcome[]): Promise<boolean> {
    const owner = slateOwner(person, slateId);
    return this.#lmdb.write((records) => {
      if (records.get(slateKey(owner, slateId, PART.slate)) === undefined) return false;
      const key = slateKey(owner, slateId, PART.outcomes);
      records.put(key, mergeOutcomes(records.get(key), outcomes));
      return true;
    });
  }

  async *all(): AsyncIterable<LoggedSlate> {
    for (let from: Buffer = Buffer.of(TAG.slate); ; ) {
      const next = this.#lmdb.read((records) => [...records.getKeys({ start: from, limit: 1 })].map(ownerOf)[0]);
      if (next === undefined) return;
      yield* this.#lmdb.read((records) => slatesOf(records, next));
      from = afterOwner(next);
      await setImmediate();
    }
  }

  async forget(person: string): Promise<void> {
    const start = ownerKey(checkedPerson(person));
    return this.#lmdb.write((records) => {
      for (const { key, value } of [...records.getRange({ start, end: afterOwner(person) })]) {
        if (key.at(-1) === PART.slate) records.remove(timeKey(slateTime(value), key));
      }
      removeRange(records, start, afterOwner(person));
    });
  }

  async prune(beforeMs: number): Promise<number> {
    let dropped = 0;
    for (;;) {
      const count = await this.#lmdb.write((records) => pruneIn(records, beforeMs));
      dropped += count;
      if (count < PRUNE_CHUNK) return dropped;
    }
  }

  async close(): Promise<void> {
    await this.#lmdb.close();
  }
}

function recordIn(records: Records, slate: Slate): void {
  const key = slateKey(slateOwner(slate.person, slate.slateId), slate.slateId, PART.slate);
  if (records.get(key) !== undefined) return;
  records.put(key, encodeSlate(slate));
  records.put(timeKey(slate.timeMs, key), Buffer.alloc(0));
}

function slatesOf(records: Records, owner: string): LoggedSlate[] {
  const values = new Map<string, Buffer>();
  for (const { key, value } of records.getRange({ start: ownerKey(owner), end: afterOwner(owner) })) {
    values.set(key.toString('latin1'), value);
  }
  const slates: LoggedSlate[] = [];
  for (const [key, value] of values) {
    if (key.charCodeAt(key.length - 1) !== PART.slate) continue;
    slates.push(decodeSlate(owner, value, values.get(key.slice(0, -1) + String.fromCharCode(PART.outcomes))));
  }
  return inOrderOfTime(slates);
}

/** Drops the oldest slates, `PRUNE_CHUNK` at most; answers how many. */
function pruneIn(records: Records, beforeMs: number): number {
  const start = Buffer.of(TAG.time);
  const end = Buffer.concat([start, numberBytes(beforeMs)]);
  const due = [...records.getKeys({ start, end, limit: PRUNE_CHUNK })];
  for (const key of due) {
    const slate = Buffer.concat([Buffer.of(TAG.slate), key.subarray(1 + TIME_BYTES)]);
    for (const part of Object.values(PART)) records.remove(Buffer.concat([slate, Buffer.of(part)]));
    records.remove(key);
  }
  return due.length;
}

function ownerKey(owner: string): Buffer {
  const person = ownerPerson(owner);
  const bytes = Buffer.from(person ?? owner.slice(-2), 'hex');
  return Buffer.concat([Buffer.of(TAG.slate, person === undefined ? 0 : 1), bytes]);
}

/** Comes after every record of an owner and before every record of the next. */
function afterOwner(owner: string): Buffer {
  return Buffer.concat([ownerKey(owner), Buffer.alloc(ID_BYTES + 1, 0xff)]);
}

function ownerOf(key: Buffer): string {
  const owner = key.toString('hex', 2, key.length - ID_BYTES - 1);
  return key[1] === 1 ? owner : `nobody-${owner}`;
}

function slateKey(owner: string, slateId: string, part: number): Buffer {
  return Buffer.concat([ownerKey(owner), idHash(slateId), Buffer.of(part)]);
}

/** The record by time that belongs to a record by owner. */
function timeKey(timeMs: number, slateKey: Buffer): Buffer {
  return Buffer.concat([Buffer.of(TAG.time), numberBytes(timeMs), slateKey.subarray(1, -1)]);
}
