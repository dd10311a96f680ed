import { choice, integer, parsed, type SettingValues, text } from '@onepass/config';
import { encoderRoleSettings, userEncoderSettings } from '@onepass/user-encoder';
import { parseAttention } from './device-graphs.js';

const MOST_LANES = 16;
const MOST_IN_A_RUN = 64;

/** The user-encoder's, and what ranking and the device have beside them. */
export const deviceCellSettings = {
  ...encoderRoleSettings,
  /** It has none, and says so. */
  warmTier: userEncoderSettings.warmTier,
  rankingPort: integer('ONEPASS_RANKING_PORT', 'port on which the ranking of a device cell listens; 0 = any', {
    default: 50053,
    minimum: 0,
    maximum: 65_535,
  }),
  rankingMetricsPort: integer(
    'ONEPASS_RANKING_METRICS_PORT',
    'port of Prometheus metrics of the ranking of a device cell, GET /metrics; 0 = none',
    { default: 0, minimum: 0, maximum: 65_535 },
  ),
  deviceGraphs: text(
    'ONEPASS_DEVICE_GRAPHS',
    'directory of device graphs that were made of the release that is served (docs/device-graphs.md)',
  ),
  attention: parsed(
    'ONEPASS_DEVICE_ATTENTION',
    'how device graphs compute attention: auto (the first of attention, mha and plain that there is), one name for all, or GRAPH=NAME with , between, of prefill, encode and rank',
    parseAttention,
    { default: 'auto' },
  ),
  lanes: integer('ONEPASS_DEVICE_LANES', 'runs on the device at one time; each lane has the weights there once', {
    default: 2,
    minimum: 1,
    maximum: MOST_LANES,
  }),
  spin: choice(
    'ONEPASS_DEVICE_SPIN',
    'yes: lanes that wait for a GPU spin, which wakes them sooner and takes a core for each',
    ['no', 'yes'],
    { default: 'no' },
  ),
  batch: integer('ONEPASS_DEVICE_BATCH', 'most people, and most slates of candidates, of one run on the device', {
    default: 8,
    minimum: 1,
    maximum: MOST_IN_A_RUN,
  }),
  candidates: integer(
    'ONEPASS_DEVICE_CANDIDATES',
    'candidates that a page usually has: runs of their size are made ready at start',
    { default: 200, minimum: 1, maximum: 10_000 },
  ),
  preparedRuns: integer(
    'ONEPASS_DEVICE_RUNS',
    'sizes of runs that are kept ready on the device, at most; three quarters of so many are captured, once',
    {
      default: 512,
      minimum: 16,
      maximum: 65_536,
    },
  ),
  preparedMiB: integer('ONEPASS_DEVICE_RUNS_MIB', 'memory of the device for inputs and outputs of these, in MiB', {
    default: 4_096,
    minimum: 16,
    maximum: 1 << 20,
  }),
} as const;

export type DeviceCellSettings = SettingValues<typeof deviceCellSettings>;
