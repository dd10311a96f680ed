import { choice, integer, parsed, text } from '@onepass/config';
import { startupError } from '@onepass/errors';
import { parseStorePlace, type RedisPlace } from '@onepass/history';
import { WARM_CODECS } from './entry.js';

export const warmTierSettings = {
  warmTier: choice(
    'ONEPASS_WARM_TIER',
    'where KV that left its slot, or that a cell held before it ended, is kept',
    ['off', 'disk', 'redis'],
    { default: 'off' },
  ),
  warmCodec: choice(
    'ONEPASS_WARM_CODEC',
    'how KV lies there: f32 as it is, f16 in half and i8 in a quarter of the bytes, nearly as it is',
    WARM_CODECS,
    { default: 'f32' },
  ),
  warmDir: text('ONEPASS_WARM_DIR', 'directory of the warm tier on disk, in ONEPASS_DATA_DIR unless it begins with /', {
    default: 'warm',
  }),
  warmRedis: parsed(
    'ONEPASS_WARM_REDIS',
    'the warm tier’s Redis, named as in ONEPASS_HISTORY; best another one than that of histories, as this one need keep nothing; or none',
    parseRedis,
    { default: 'none' },
  ),
  warmTimeoutMs: integer('ONEPASS_WARM_TIMEOUT_MS', 'how long a read from the warm tier’s Redis may take, in ms', {
    default: 20,
    minimum: 1,
    maximum: 10_000,
  }),
  warmMib: integer('ONEPASS_WARM_MIB', 'most MiB of the warm tier, on one disk or in one Redis', {
    default: 1_024,
    minimum: 1,
    maximum: 16 << 20,
  }),
  warmMaxAgeS: integer('ONEPASS_WARM_MAX_AGE_S', 'how long the warm tier keeps what is not written again, in seconds', {
    default: 86_400,
    minimum: 1,
    maximum: 31_536_000,
  }),
  warmWriteMibS: integer('ONEPASS_WARM_WRITE_MIB_S', 'most MiB a second that one cell writes to the warm tier', {
    default: 16,
    minimum: 1,
    maximum: 10_000,
  }),
} as const;

/** What a process says of its warm tier. */
export interface WarmTierSettings {
  readonly warmTier: 'off' | 'disk' | 'redis';
  readonly warmCodec: (typeof WARM_CODECS)[number];
  readonly warmDir: string;
  readonly warmRedis: RedisPlace | undefined;
  readonly warmTimeoutMs: number;
  readonly warmMib: number;
  readonly warmMaxAgeS: number;
  readonly warmWriteMibS: number;
  readonly dataDir: string;
}

/** @throws OnepassError `startup` when Redis is asked for and none is named */
export function redisOf({ warmRedis }: WarmTierSettings): RedisPlace {
  if (warmRedis !== undefined) return warmRedis;
  throw startupError('ONEPASS_WARM_REDIS is not set, and ONEPASS_WARM_TIER is redis');
}

/** @throws Error without anything of `raw` in it, which may hold a password */
function parseRedis(raw: string): RedisPlace | undefined {
  if (raw === 'none') return undefined;
  try {
    const place = parseStorePlace(raw);
    if (place !== 'lmdb') return place;
  } catch {}
  throw new Error('must be none or redis://[USER:PASSWORD@]HOST:PORT[/DATABASE][,HOST:PORT...], or rediss://');
}
