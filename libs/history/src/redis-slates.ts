import { checkedPerson, idHash } from './bytes.js';
import { OneAtATime } from './one-at-a-time.js';
import { openRedis, type RedisRecords, type RedisTerms, script } from './redis.js';
import type { RedisPlace } from './settings.js';
import { decodeSlate, encodeSlate, mergeOutcomes, slateOwner } from './slate-codec.js';
import type { LoggedSlate, Slate, SlateOutcome, SlateStore } from './slates.js';

// An owner's slates are one hash, a slate and its outcomes by the slate id's hash, and one sorted set of those hashes by time.
const SLATES = 'onepass:slates:';
const TIMES = 'onepass:slate-times:';
const PAGE = 256;

/** Keeps slates that are new. ARGV: of each slate the id's hash, the time and the slate. */
const RECORD = script(`
for i = 1, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[1], 'slate:' .. ARGV[i], ARGV[i + 2]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
  end
end
return 1`);

/** Keeps a slate's outcomes, if those held are still the ones they were made from. ARGV: id's hash, outcomes held, outcomes. */
const OUTCOMES = script(`
local field = 'outcomes:' .. ARGV[1]
if redis.call('HEXISTS', KEYS[1], 'slate:' .. ARGV[1]) == 0 then return 0 end
if (redis.call('HGET', KEYS[1], field) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], field, ARGV[3])
return 1`);

/** Drops the oldest slates and answers how many. ARGV: the time before which, how many at most. */
const PRUNE = script(`
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
  redis.call('HDEL', KEYS[1], 'slate:' .. id, 'outcomes:' .. id)
  redis.call('ZREM', KEYS[2], id)
end
return #due`);

/**
 * Slates in a Redis or Redis Cluster.
 * @throws OnepassError `startup`, one sentence that names the server and the setting
 */
export async function openRedisSlates(place: RedisPlace, terms: RedisTerms): Promise<SlateStore> {
  return new RedisSlates(await openRedis('slate store', place, terms));
}

class RedisSlates implements SlateStore {
  readonly #redis: RedisRecords;
  readonly #writes = new OneAtATime();

  constructor(redis: RedisRecords) {
    this.#redis = redis;
  }

  async record(slates: readonly Slate[]): Promise<void> {
    const byOwner = new Map<string, (string | Buffer)[]>();
    for (const slate of slates) {
      const owner = slateOwner(slate.person, slate.slateId);
      const values = byOwner.get(owner) ?? [];
      values.push(idOf(slate.slateId), String(slate.timeMs), encodeSlate(slate));
      byOwner.set(owner, values);
    }
    await Promise.all([...byOwner].map(([owner, values]) => this.#redis.write(RECORD, keysOf(owner), values)));
  }

  async get(person: string | undefined, slateId: string): Promise<LoggedSlate | undefined> {
    const owner = slateOwner(person, slateId);
    const [slate] = await this.#read(owner, [idOf(slateId)]);
    return slate;
  }

  async addOutcomes(person: string | undefined, slateId: string, outcomes: readonly SlateOutcome[]): Promise<boolean> {
    const [slates, times] = keysOf(slateOwner(person, slateId));
    const id = idOf(slateId);
    return this.#writes.run(`${slates} ${id}`, async () => {
      const [slate, held] = await this.#redis.fields(slates, [`slate:${id}`, `outcomes:${id}`]);
      if (!slate) return false;
      const merged = mergeOutcomes(held ?? undefined, outcomes);
      return (await this.#redis.write(OUTCOMES, [slates, times], [id, held ?? '', merged])) === 1 ? true : undefined;
    });
  }

  async *all(): AsyncIterable<LoggedSlate> {
    for await (const owner of this.#redis.tags(TIMES)) {
      const [, times] = keysOf(owner);
      const ids = await this.#redis.members(times);
      for (let at = 0; at < ids.length; at += PAGE) yield* await this.#read(owner, ids.slice(at, at + PAGE));
    }
  }

  async forget(person: string): Promise<void> {
    await this.#redis.drop(...keysOf(checkedPerson(person)));
  }

  async prune(beforeMs: number): Promise<number> {
    let dropped = 0;
    for await (const owner of this.#redis.tags(TIMES)) {
      for (let count = PAGE; count === PAGE; dropped += count) {
        count = await this.#redis.write(PRUNE, keysOf(owner), [String(beforeMs), String(PAGE)]);
      }
    }
    return dropped;
  }

  close(): Promise<void> {
    return this.#redis.close();
  }

  /** Those of the slates that there are, in the order asked for. */
  async #read(owner: string, ids: readonly string[]): Promise<LoggedSlate[]> {
    const [slates] = keysOf(owner);
    const values = await this.#redis.fields(
      slates,
      ids.flatMap((id) => [`slate:${id}`, `outcomes:${id}`]),
    );
    return ids.flatMap((_, i) => {
      const slate = values[2 * i];
      return slate ? [decodeSlate(owner, slate, values[2 * i + 1] ?? undefined)] : [];
    });
  }
}

/** The owner's hash tag keeps both in one slot of a cluster, that of the person's history. */
function keysOf(owner: string): [slates: string, times: string] {
  return [`${SLATES}{${owner}}`, `${TIMES}{${owner}}`];
}

function idOf(slateId: string): string {
  return idHash(slateId).toString('base64url');
}
