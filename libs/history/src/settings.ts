import { choice, integer, parsed } from '@onepass/config';

/** A Redis, or the nodes of a Redis Cluster when there are several. */
export interface RedisPlace {
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** Where histories and slates lie. */
export type StorePlace = 'lmdb' | RedisPlace;

export const historySettings = {
  history: parsed(
    'ONEPASS_HISTORY',
    'where histories and slates lie: lmdb (in ONEPASS_DATA_DIR) or redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]; several HOST:PORT with , between are a cluster; rediss:// is with TLS',
    parseStorePlace,
    { default: 'lmdb' },
  ),
  historyTimeoutMs: integer('ONEPASS_HISTORY_TIMEOUT_MS', 'how long one command to Redis may take, in ms', {
    default: 100,
    minimum: 1,
    maximum: 60_000,
  }),
  historyChecked: choice(
    'ONEPASS_HISTORY_CHECKED',
    'whether the operator has checked the durability of a Redis that allows no CONFIG GET',
    ['no', 'yes'],
    { default: 'no' },
  ),
};

const SHAPE = 'must be lmdb or redis://[USER:PASSWORD@]HOST:PORT[/DATABASE][,HOST:PORT...], or rediss://';

/** @throws Error without anything of `raw` in it, which may hold a password */
export function parseStorePlace(raw: string): StorePlace {
  if (raw === 'lmdb') return raw;
  const [first = '', ...others] = raw.split(',');
  const url = URL.canParse(first) ? new URL(first) : undefined;
  const nodes = [url?.host ?? '', ...others].map(parseNode);
  const shaped = url !== undefined && /^rediss?:$/.test(url.protocol) && /^(\/\d{0,5})?$/.test(url.pathname);
  if (!shaped) throw new Error(SHAPE);
  const database = Number(url.pathname.slice(1));
  if (nodes.length > 1 && database !== 0) throw new Error('a Redis Cluster has database 0 only');
  return {
    nodes,
    tls: url.protocol === 'rediss:',
    username: decoded(url.username),
    password: decoded(url.password),
    database,
  };
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part) || undefined;
  } catch {
    throw new Error(SHAPE);
  }
}

function parseNode(node: string): RedisPlace['nodes'][number] {
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+):(\d{1,5})$/.exec(node) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new Error(SHAPE);
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}
