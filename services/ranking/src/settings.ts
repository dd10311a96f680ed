import { integer, type SettingValues, sharedSettings } from '@onepass/config';
import { edgeSettings } from '@onepass/contracts';

/** Of the role wherever its trunk and KV are. */
const rankingRoleSettings = {
  ...edgeSettings,
  host: sharedSettings.host,
  port: integer('ONEPASS_PORT', 'port to listen on', { default: 50053, minimum: 0, maximum: 65_535 }),
};

/** Of a process of its own, with KV in shared memory. */
export const rankingSettings = {
  ...rankingRoleSettings,
  releaseDir: sharedSettings.releaseDir,
  cellDir: sharedSettings.cellDir,
  executionProvider: sharedSettings.executionProvider,
  onnxruntimeDir: sharedSettings.onnxruntimeDir,
  inferenceInFlight: sharedSettings.inferenceInFlight,
  inferenceThreads: sharedSettings.inferenceThreads,
};

export type RankingRoleSettings = SettingValues<typeof rankingRoleSettings>;
export type RankingSettings = SettingValues<typeof rankingSettings>;
