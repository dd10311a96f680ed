import { choice, integer, parsed, type SettingValues, sharedSettings, text } from '@onepass/config';
import { edgeSettings } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { historySettings } from '@onepass/history';
import { addressesOf, isAddress, parseCells } from '@onepass/routing';

export const gatewaySettings = {
  ...edgeSettings,
  host: sharedSettings.host,
  port: integer('ONEPASS_PORT', 'port to listen on', { default: 50050, minimum: 0, maximum: 65_535 }),
  releaseDir: sharedSettings.releaseDir,
  dataDir: sharedSettings.dataDir,
  ...historySettings,
  cells: parsed(
    'ONEPASS_CELLS',
    'cells, as encoder=HOST:PORT,ranking=HOST:PORT, several with ; between; name=NAME keeps a cell’s people when its addresses change (default: the encoder’s address); with ranking-encoder=HOST:PORT in each, ranking reads the KV of that second user-encoder, as a separate model would: for comparisons',
    parseCells,
    { default: 'encoder=127.0.0.1:50051,ranking=127.0.0.1:50053' },
  ),
  cellsFile: text(
    'ONEPASS_CELLS_FILE',
    'file of cells, watched, in the place of ONEPASS_CELLS: one a line in its form, with state=draining where nobody is to be sent; empty = none',
    { default: '' },
  ),
  cellWarmUpMs: integer(
    'ONEPASS_CELL_WARM_UP_MS',
    'how long a cell that joins takes until it has all its people, in ms; 0 = at once',
    { default: 60_000, minimum: 0, maximum: 3_600_000 },
  ),
  retrieval: parsed('ONEPASS_RETRIEVAL', 'HOST:PORT of the retrieval root', parseAddress, {
    default: '127.0.0.1:50052',
  }),
  budgetMs: integer('ONEPASS_BUDGET_MS', 'time budget of a Recommend, in ms; a shorter deadline of the caller wins', {
    default: 300,
    minimum: 10,
    maximum: 60_000,
  }),
  slates: choice('ONEPASS_SLATES', 'whether served slates are recorded, for training', ['on', 'off'], {
    default: 'on',
  }),
  slateDays: integer('ONEPASS_SLATE_DAYS', 'days that slates are kept', { default: 90, minimum: 1, maximum: 3_650 }),
  pageTokenKey: parsed(
    'ONEPASS_PAGE_TOKEN_KEY',
    'key that signs page tokens, at least 64 hex digits, the same for all gateways; empty = one kept in the data directory',
    parseKey,
    { default: '' },
  ),
};

export type GatewaySettings = SettingValues<typeof gatewaySettings>;

/** @throws OnepassError `startup` naming two settings that contradict each other */
export function checkGatewaySettings({ host, port, retrieval, cells, ...settings }: GatewaySettings): void {
  const own = `${host}:${port}`;
  // Of a file, what is wrong is found where it is read.
  const lines = settings.cellsFile === '' ? cells : [];
  const called = { ONEPASS_RETRIEVAL: [retrieval], ONEPASS_CELLS: lines.flatMap(addressesOf) };
  for (const [setting, addresses] of Object.entries(called)) {
    if (!addresses.includes(own)) continue;
    throw startupError(`${setting} names ${own}, where this gateway itself listens by ONEPASS_HOST and ONEPASS_PORT`);
  }
  const { history, historyTimeoutMs, budgetMs } = settings;
  if (history !== 'lmdb' && historyTimeoutMs >= budgetMs) {
    throw startupError(
      `ONEPASS_HISTORY_TIMEOUT_MS is ${historyTimeoutMs}, which leaves nothing of ONEPASS_BUDGET_MS, ${budgetMs}`,
    );
  }
}

const KEY_BYTES = 32;

function parseAddress(raw: string): string {
  if (isAddress(raw)) return raw;
  throw new Error(`must look like HOST:PORT, not ${JSON.stringify(raw)}`);
}

/** Key bytes; undefined for an empty setting. */
export function parseKey(hex: string): Uint8Array | undefined {
  if (hex === '') return undefined;
  if (!/^([0-9a-f]{2})+$/i.test(hex)) throw new Error('must be hex digits, two a byte');
  if (hex.length < KEY_BYTES * 2) throw new Error(`must have at least ${KEY_BYTES * 2} hex digits`);
  return Buffer.from(hex, 'hex');
}
