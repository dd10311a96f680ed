import { setTimeout } from 'node:timers/promises';
import { type OnepassError, unavailable } from '@onepass/errors';
import type { RedisPlace } from '@onepass/history';
import { RedisConnection, script } from './redis-connection.js';
import type { StoreLimits, WarmStore } from './store.js';

export interface RedisStoreOptions extends StoreLimits {
  readonly place: RedisPlace;
  readonly releaseId: string;
  /** How long a read may take; a request waits for it. */
  readonly timeoutMs: number;
}

/** How long one command of a write or a removal may take; nobody waits for it but who forgets. */
const WRITE_MS = 2_000;
const START_MS = 1_000;
/** Of all entries: in which order they were written, and their bytes, with the sum under '' and the last place in the order under '#'. */
const INDEX = ['onepass:warm-order:{index}', 'onepass:warm-sizes:{index}'] as const;

const LEAVE = `
local order, sizes = KEYS[1], KEYS[2]
local function leave(key)
  local bytes = redis.call('HGET', sizes, key)
  if bytes then
    redis.call('HDEL', sizes, key)
    redis.call('HINCRBY', sizes, '', -tonumber(bytes))
  end
  redis.call('ZREM', order, key)
end
`;

/**
 * Counts an entry as the one written last. Answers the time in ms, the sum of bytes, the number of entries, and the keys that are
 * counted no more, so that the sum is within the bound.
 */
const ADMIT = script(`${LEAVE}
local key, bytes, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
leave(key)
redis.call('ZADD', order, redis.call('HINCRBY', sizes, '#', 1), key)
redis.call('HSET', sizes, key, bytes)
local sum = redis.call('HINCRBY', sizes, '', bytes)
local gone = {}
while sum > most and #gone < 1000 do
  local first = redis.call('ZRANGE', order, 0, 0)[1]
  if not first or first == key then break end
  leave(first)
  gone[#gone + 1] = first
  sum = tonumber(redis.call('HGET', sizes, ''))
end
local time = redis.call('TIME')
return { time[1] * 1000 + math.floor(time[2] / 1000), sum, redis.call('ZCARD', order), unpack(gone) }
`);

/** Counts keys no more. */
const DISMISS = script(`${LEAVE}
for _, key in ipairs(ARGV) do leave(key) end
return { tonumber(redis.call('HGET', sizes, '') or '0'), redis.call('ZCARD', order) }
`);

/** Puts an entry, and its release among the person's, unless it comes too late: then somebody may have forgotten the person meanwhile. */
const PUT = script(`
local entry, release, ageMs, latest = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > latest then return 0 end
redis.call('SET', KEYS[1], entry, 'PX', ageMs)
redis.call('SADD', KEYS[2], release)
redis.call('PEXPIRE', KEYS[2], ageMs)
return 1
`);

/** Never fails to open: a Redis that is gone may come back. */
export async function openRedisStore(options: RedisStoreOptions): Promise<WarmStore> {
  const store = new RedisStore(options);
  await store.connected(START_MS);
  return store;
}

class RedisStore implements WarmStore {
  readonly #options: RedisStoreOptions;
  /** Two connections: a read must not wait behind the bytes of a write. */
  readonly #reader: RedisConnection;
  readonly #writer: RedisConnection;
  #usage = { entries: 0, bytes: 0 };
  /** Persons whose write was not answered, and until when it may still be carried out. */
  readonly #unanswered = new Map<string, number>();

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#reader = new RedisConnection(options.place, options.timeoutMs);
    this.#writer = new RedisConnection(options.place, WRITE_MS);
  }

  async connected(ms: number): Promise<void> {
    await Promise.all([this.#reader.connected(ms), this.#writer.connected(ms)]);
  }

  get restMs(): number {
    return this.#writer.restMs;
  }

  usage(): { entries: number; bytes: number } {
    return this.#usage;
  }

  async read(person: string): Promise<Buffer | undefined> {
    return (await this.#reader.get(this.#key(person))) ?? undefined;
  }

  async write(person: string, entry: Buffer): Promise<'written' | 'full'> {
    const { maxBytes, maxAgeMs, releaseId } = this.#options;
    if (entry.length > maxBytes) return 'full';
    const key = this.#key(person);
    const admitted = await this.#writer.run(ADMIT, INDEX, [key, entry.length, maxBytes]);
    const [nowMs = 0, bytes = 0, entries = 0, ...gone] = admitted as [number, number, number, ...string[]];
    this.#usage = { entries, bytes };
    // One by one: they lie in different slots of a cluster.
    for (const one of gone) await this.#writer.unlink(one);
    // Not before the command is sent, so that a write is carried out by then or never.
    const latest = performance.now() + WRITE_MS;
    try {
      const put = await this.#writer.run(
        PUT,
        [key, releasesKey(person)],
        [entry, releaseId, maxAgeMs, nowMs + WRITE_MS],
      );
      if (put === 1) return 'written';
    } catch (error) {
      if (isOutOfMemory(error as OnepassError)) return 'full';
      this.#unanswered.set(person, latest);
      throw error;
    }
    throw unavailable('the warm tier cannot be written: its Redis came to it too late');
  }

  async drop(person: string): Promise<void> {
    await this.#remove([this.#key(person)]);
  }

  async forget(person: string): Promise<void> {
    await this.#settled(person);
    const releases = await this.#writer.members(releasesKey(person));
    const keys = new Set([this.#key(person), ...releases.map((release) => entryKey(person, release))]);
    await this.#remove([...keys], releasesKey(person));
  }

  async close(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#writer.close()]);
  }

  async #remove(entries: readonly string[], ...more: string[]): Promise<void> {
    const [bytes = 0, count = 0] = (await this.#writer.run(DISMISS, INDEX, entries)) as number[];
    this.#usage = { entries: count, bytes };
    await this.#writer.unlink(...entries, ...more);
  }

  /** Waits until no unanswered write of the person can be carried out any more. */
  async #settled(person: string): Promise<void> {
    const now = performance.now();
    const latest = this.#unanswered.get(person) ?? now;
    for (const [one, until] of this.#unanswered) if (until <= now) this.#unanswered.delete(one);
    if (latest > now) await setTimeout(latest - now);
  }

  #key(person: string): string {
    return entryKey(person, this.#options.releaseId);
  }
}

function entryKey(person: string, releaseId: string): string {
  return `onepass:warm:{${person}}:${releaseId}`;
}

/** The releases that have an entry of the person, for who forgets. */
function releasesKey(person: string): string {
  return `onepass:warm-releases:{${person}}`;
}

function isOutOfMemory({ cause }: OnepassError): boolean {
  return cause instanceof Error && cause.message.startsWith('OOM');
}
