import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { OnepassError, startupError, unavailable } from '@onepass/errors';
import { type Cluster, Redis, ReplyError } from 'ioredis';
import { storeFailure } from './failure.js';
import { newRedisClient } from './redis-client.js';
import type { RedisPlace } from './settings.js';

export interface RedisTerms {
  /** How long one command may take, in ms. */
  readonly timeoutMs: number;
  /** The operator vouches for what a server that allows no CONFIG GET does not say. */
  readonly checkedByOperator: boolean;
}

/** Lua that one call runs as a whole. All its keys share one hash tag. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

type Value = string | Buffer;

/** An acknowledged write survives a crash of the server only under these. */
const REQUIRED = {
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  'maxmemory-policy': 'noeviction',
} as const;

const START_MS = 5_000;
const SCAN_PAGE = 512;
const REWRITE_POLL_MS = 50;

/**
 * Commands fail fast: none waits for a server that is away, none is sent twice.
 * @param what is kept there, for an error's sentence
 * @throws OnepassError `startup`, one sentence that names the server and the setting
 */
export async function openRedis(what: string, place: RedisPlace, terms: RedisTerms): Promise<RedisRecords> {
  const { timeoutMs } = terms;
  const client = newRedisClient(place, { commandMs: timeoutMs, socketMs: 4 * timeoutMs, slotsRefreshMs: 1_000 });
  let reason: string | undefined;
  // Also keeps ioredis from printing what goes wrong.
  for (const event of ['error', 'node error']) {
    client.on(event, (error: Error) => {
      reason = error.message;
    });
  }
  try {
    // A cluster that is not whole yet leaves connect() without an answer.
    await Promise.race([client.connect(), once(client, 'ready', { signal: AbortSignal.timeout(START_MS) })]);
    for (const master of await mastersOf(client)) await checkServer(master, place, terms);
    return new RedisRecords(what, client);
  } catch (error) {
    client.disconnect();
    if (error instanceof OnepassError) throw error;
    const nodes = place.nodes.map(address).join(', ');
    const why = plainly(reason ?? (error as Error).message);
    throw startupError(`ONEPASS_HISTORY: the Redis at ${nodes} cannot be used: ${why}`);
  }
}

/** What OpenSSL and the parser say of somebody who speaks another protocol is for their makers. */
function plainly(message: string): string {
  if (/wrong version number|packet length too long/.test(message)) return 'it does not speak TLS';
  if (/RESP type/.test(message)) return 'what answers there is not a Redis';
  return message;
}

/** All masters: what they hold together is everything. */
async function mastersOf(client: Redis | Cluster): Promise<Redis[]> {
  if (client instanceof Redis) return [client];
  const masters = client.nodes('master');
  // One that has gone is not among the client's.
  const expected = new Set((await client.cluster('SLOTS')).map(([, , master]) => master?.[2])).size;
  if (masters.length < expected) throw new Error(`${expected - masters.length} of ${expected} masters are away`);
  return masters;
}

/** @throws OnepassError `startup` when the server could lose what it acknowledged */
async function checkServer(server: Redis, place: RedisPlace, terms: RedisTerms): Promise<void> {
  const name = `ONEPASS_HISTORY: ${nameOf(server)}`;
  if (place.nodes.length === 1 && /cluster_enabled:1/.test(await server.info('cluster'))) {
    throw startupError(`${name} is a node of a cluster: name several of its nodes, with , between`);
  }
  if (terms.checkedByOperator) return;
  for (const [setting, wanted] of Object.entries(REQUIRED)) {
    const value = await configured(server, setting).catch((error: Error) => {
      if (!(error instanceof ReplyError)) throw error;
      const all = Object.entries(REQUIRED).map((pair) => pair.join(' '));
      throw startupError(
        `${name} does not allow CONFIG GET (${error.message}): see to ${all.join(', ')} and set ONEPASS_HISTORY_CHECKED=yes`,
      );
    });
    if (value !== wanted) {
      throw startupError(
        `${name} has ${setting} ${value}; to keep what it acknowledges it must have ${setting} ${wanted}`,
      );
    }
  }
}

/** @throws OnepassError `unavailable` naming the server when its last rewrite failed: then the old files are as they were */
function requireRewritten(server: Redis, persistence: string): void {
  if (persistence.includes('aof_last_bgrewrite_status:ok')) return;
  throw unavailable(`the append-only file of ${nameOf(server)} was not rewritten; its log says why`);
}

async function configured(server: Redis, setting: string): Promise<unknown> {
  const [, value] = (await server.config('GET', setting)) as unknown[];
  return value;
}

function nameOf({ options: { host = '', port = 0 } }: Redis): string {
  return `the Redis at ${address({ host, port })}`;
}

function address({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Hashes and scripts of one Redis or cluster; what fails comes out as an OnepassError. */
export class RedisRecords {
  readonly #what: string;
  readonly #client: Redis | Cluster;

  constructor(what: string, client: Redis | Cluster) {
    this.#what = what;
    this.#client = client;
  }

  /** Values of a hash's fields, all of one moment. */
  fields(key: string, fields: readonly string[]): Promise<(Buffer | null)[]> {
    return this.#told('read', this.#client.hmgetBuffer(key, ...fields));
  }

  /** Members of a sorted set, all of one moment. */
  members(key: string): Promise<string[]> {
    return this.#told('read', this.#client.zrange(key, '0', '-1'));
  }

  /** Resolves with the script's number when what it wrote is durable. */
  async write(script: Script, keys: readonly string[], values: readonly Value[]): Promise<number> {
    return (await this.#told('written', this.#run(script, keys, values))) as number;
  }

  /** Resolves with the script's list. */
  async read(script: Script, keys: readonly string[], values: readonly Value[]): Promise<(Buffer | null)[]> {
    return (await this.#told('read', this.#run(script, keys, values))) as (Buffer | null)[];
  }

  /** Resolves when the keys, which share one hash tag, are durably gone. */
  async drop(...keys: string[]): Promise<void> {
    await this.#told('written', this.#client.unlink(...keys));
  }

  /** The hash tags of all keys `prefix{tag}`, each once; of those written or dropped meanwhile, some. */
  async *tags(prefix: string): AsyncIterable<string> {
    const seen = new Set<string>();
    for await (const page of this.tagPages(prefix)) {
      for (const tag of page) {
        if (!seen.has(tag)) yield tag;
        seen.add(tag);
      }
    }
  }

  /** The same without a memory of them, a page of about `SCAN_PAGE` at a time: SCAN may tell a key twice. */
  async *tagPages(prefix: string): AsyncIterable<readonly string[]> {
    for (const master of await this.#told('read', mastersOf(this.#client))) {
      let cursor = '0';
      do {
        const page = await this.#told('read', master.scan(cursor, 'MATCH', `${prefix}{*}`, 'COUNT', SCAN_PAGE));
        cursor = page[0];
        yield page[1].map((key) => key.slice(prefix.length + 1, -1));
      } while (cursor !== '0');
    }
  }

  /**
   * Every master writes its append-only file anew, without what was dropped; resolves when that is done.
   * @throws OnepassError `unavailable` naming the master that could not
   */
  async rewriteFiles(): Promise<void> {
    for (const master of await this.#told('read', mastersOf(this.#client))) {
      // One that is under way began before now.
      await this.#rewritten(master);
      await this.#told('written', master.bgrewriteaof());
      requireRewritten(master, await this.#rewritten(master));
    }
  }

  /** What the server says of its files when no rewrite is under way. */
  async #rewritten(master: Redis): Promise<string> {
    for (;;) {
      const said = await this.#told('read', master.info('persistence'));
      if (!/aof_rewrite_(in_progress|scheduled):1/.test(said)) return said;
      await setTimeout(REWRITE_POLL_MS);
    }
  }

  async close(): Promise<void> {
    if (this.#client.status === 'ready') await this.#client.quit().catch(() => {});
    this.#client.disconnect();
  }

  #run({ lua, sha }: Script, keys: readonly string[], values: readonly Value[]): Promise<unknown> {
    const all = [keys.length, ...keys, ...values];
    return this.#client.callBuffer('evalsha', sha, ...all).catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return this.#client.callBuffer('eval', lua, ...all);
    });
  }

  async #told<T>(verb: 'read' | 'written', answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      // ioredis hangs the command with its arguments on the error: those are of a person, and a cause is logged.
      throw storeFailure(this.#what, verb, new Error(error instanceof Error ? error.message : String(error)));
    }
  }
}
