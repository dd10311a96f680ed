import { integer, type SettingValues, sharedSettings } from '@onepass/config';
import { edgeSettings } from '@onepass/contracts';

export const rankingSettings = {
  ...edgeSettings,
  host: sharedSettings.host,
  port: integer('ONEPASS_PORT', 'port to listen on', { default: 50053, minimum: 0, maximum: 65_535 }),
  releaseDir: sharedSettings.releaseDir,
  cellDir: sharedSettings.cellDir,
  executionProvider: sharedSettings.executionProvider,
  onnxruntimeDir: sharedSettings.onnxruntimeDir,
  inferenceInFlight: sharedSettings.inferenceInFlight,
  inferenceThreads: sharedSettings.inferenceThreads,
};

export type RankingSettings = SettingValues<typeof rankingSettings>;
