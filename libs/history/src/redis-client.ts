import { Cluster, Redis } from 'ioredis';
import type { RedisPlace } from './settings.js';

export interface RedisClientTerms {
  /** How long a command may take. */
  readonly commandMs: number;
  /** How long a server may say nothing while commands wait: those for one that has stopped would else pile up on their way to it. */
  readonly socketMs: number;
  /** How often a cluster is asked which master has what; absent = when one of them says that it has not. */
  readonly slotsRefreshMs?: number;
}

export const CONNECT_MS = 1_000;

/** Commands fail fast: none waits for a server that is away, none is sent twice. Connects when it is told to. */
export function newRedisClient(place: RedisPlace, terms: RedisClientTerms): Redis | Cluster {
  const redisOptions = commonOptions(place, terms);
  if (place.nodes.length === 1) {
    return new Redis({
      ...redisOptions,
      ...place.nodes[0],
      db: place.database,
      lazyConnect: true,
      enableOfflineQueue: false,
      retryStrategy: retryDelay,
    });
  }
  const { slotsRefreshMs } = terms;
  return new Cluster([...place.nodes], {
    redisOptions,
    lazyConnect: true,
    enableOfflineQueue: false,
    scaleReads: 'master',
    // Not sent again by itself. A slot that has moved is another matter.
    retryDelayOnFailover: 0,
    ...(slotsRefreshMs === undefined ? {} : { slotsRefreshInterval: slotsRefreshMs }),
    clusterRetryStrategy: retryDelay,
  });
}

function commonOptions({ tls, username, password }: RedisPlace, { commandMs, socketMs }: RedisClientTerms) {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
    protocol: 2 as const,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: commandMs,
    socketTimeout: socketMs,
    // A command may have been carried out though its answer was lost.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
}

const retryDelay = (times: number) => Math.min(50 * times, 500);
