import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { unavailable } from '@onepass/errors';
import { CONNECT_MS, newRedisClient, type RedisPlace } from '@onepass/history';
import { type Cluster, Redis } from 'ioredis';

/** Lua that one call runs as a whole. All its keys share one hash tag. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

type Value = string | number | Buffer;

/** A Redis that did not answer in time is left alone for so long: who has to wait for it waits once, not with every request. */
const REST_MS = 1_000;

/** One connection to a Redis that may be slow or gone: no command waits for it longer than its time, none is sent twice. */
export class RedisConnection {
  readonly #client: Redis | Cluster;
  #restUntil = Number.NEGATIVE_INFINITY;

  constructor(place: RedisPlace, timeoutMs: number) {
    this.#client = newRedisClient(place, {
      commandMs: timeoutMs,
      socketMs: 4 * Math.max(timeoutMs, CONNECT_MS),
    });
    // Keeps ioredis from printing what goes wrong; who asks is told.
    for (const event of ['error', 'node error']) this.#client.on(event, () => {});
    // Left to itself a node connects with its first command, and refuses those that come until it has.
    this.#client.on('+node', (node: Redis) => void node.connect().catch(() => {}));
    this.#client.connect().catch(() => {});
  }

  /** Until it is asked again, in ms. */
  get restMs(): number {
    return Math.max(0, this.#restUntil - performance.now());
  }

  /** Resolves when it is connected, or when that took too long: it goes on trying. */
  async connected(ms: number): Promise<void> {
    const client = this.#client;
    const signal = AbortSignal.timeout(ms);
    if (client.status !== 'ready') await once(client, 'ready', { signal }).catch(() => {});
    if (client instanceof Redis) return;
    const nodes = client.nodes('master').filter(({ status }) => status !== 'ready');
    await Promise.allSettled(nodes.map((node) => once(node, 'ready', { signal })));
  }

  /** @throws OnepassError `unavailable`, at once while it rests */
  get(key: string): Promise<Buffer | null> {
    return this.#told('read', () => this.#client.getBuffer(key), { mayRest: true });
  }

  /** @throws OnepassError `unavailable` */
  members(key: string): Promise<string[]> {
    return this.#told('read', () => this.#client.smembers(key));
  }

  /** The keys share one hash tag. @throws OnepassError `unavailable` */
  async unlink(...keys: string[]): Promise<void> {
    await this.#told('written', () => this.#client.unlink(...keys));
  }

  /** @throws OnepassError `unavailable`; its cause says what the script said, when it ran */
  run({ lua, sha }: Script, keys: readonly string[], values: readonly Value[]): Promise<unknown> {
    const all = [keys.length, ...keys, ...values];
    return this.#told('written', () =>
      this.#client.call('evalsha', sha, ...all).catch((error: Error) => {
        if (!error.message.startsWith('NOSCRIPT')) throw error;
        return this.#client.call('eval', lua, ...all);
      }),
    );
  }

  async close(): Promise<void> {
    if (this.#client.status === 'ready') await this.#client.quit().catch(() => {});
    this.#client.disconnect();
  }

  async #told<T>(verb: 'read' | 'written', ask: () => Promise<T>, { mayRest = false } = {}): Promise<T> {
    if (mayRest && this.restMs > 0) throw unavailable('the warm tier rests: its Redis did not answer');
    try {
      return await ask();
    } catch (error) {
      this.#restUntil = performance.now() + REST_MS;
      // ioredis hangs the command with its arguments on the error: those are of a person, and a cause is logged.
      throw unavailable(
        `the warm tier cannot be ${verb}`,
        new Error(error instanceof Error ? error.message : String(error)),
      );
    }
  }
}
