import { integer, type SettingValues, sharedSettings } from '@onepass/config';
import { edgeSettings } from '@onepass/contracts';

export const retrievalSettings = {
  ...edgeSettings,
  host: sharedSettings.host,
  port: integer('ONEPASS_PORT', 'port to listen on; 0 = any', { default: 50052, minimum: 0, maximum: 65535 }),
  releaseDir: sharedSettings.releaseDir,
} as const;

export type RetrievalSettings = SettingValues<typeof retrievalSettings>;
