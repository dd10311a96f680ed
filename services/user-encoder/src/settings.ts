import { integer, type SettingValues, sharedSettings } from '@onepass/config';
import { edgeSettings } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { historySettings } from '@onepass/history';
import { warmTierSettings } from '@onepass/warm-tier';

/** Of the role wherever its trunk and KV are. */
export const encoderRoleSettings = {
  ...edgeSettings,
  host: sharedSettings.host,
  port: integer('ONEPASS_PORT', 'port to listen on; 0 = any', { default: 50051, minimum: 0, maximum: 65535 }),
  releaseDir: sharedSettings.releaseDir,
  dataDir: sharedSettings.dataDir,
  ...historySettings,
  executionProvider: sharedSettings.executionProvider,
  onnxruntimeDir: sharedSettings.onnxruntimeDir,
  inferenceInFlight: sharedSettings.inferenceInFlight,
  inferenceThreads: sharedSettings.inferenceThreads,
  kvSlots: integer('ONEPASS_KV_SLOTS', 'persons whose KV is held at one time, at most', {
    default: 128,
    minimum: 1,
    maximum: 1_000_000,
  }),
  kvMiB: integer(
    'ONEPASS_KV_MIB',
    'memory for KV; 0 = as much as all slots take when every history is full. With less, short histories leave room for more persons',
    { default: 0, minimum: 0, maximum: 4_194_304 },
  ),
  kvRestMs: integer('ONEPASS_KV_REST_MS', 'how long a retired KV slot rests: the longest deadline of a request', {
    default: 2_000,
    minimum: 0,
    maximum: 600_000,
  }),
} as const;

/** Of a process of its own, with KV in shared memory. */
export const userEncoderSettings = {
  ...encoderRoleSettings,
  cellDir: sharedSettings.cellDir,
  ...warmTierSettings,
} as const;

export type EncoderRoleSettings = SettingValues<typeof encoderRoleSettings>;
export type UserEncoderSettings = SettingValues<typeof userEncoderSettings>;

/** @throws OnepassError `startup` naming two settings that contradict each other */
export function checkUserEncoderSettings({
  kvSlots,
  inferenceInFlight,
}: Pick<UserEncoderSettings, 'kvSlots' | 'inferenceInFlight'>): void {
  if (kvSlots >= inferenceInFlight) return;
  throw startupError(
    `ONEPASS_KV_SLOTS is ${kvSlots}, fewer than the ${inferenceInFlight} runs of ONEPASS_INFERENCE_IN_FLIGHT, each of which works on a slot`,
  );
}
