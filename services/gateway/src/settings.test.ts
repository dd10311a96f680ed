import { readSettings } from '@onepass/config';
import { expect, test } from 'vitest';
import { checkGatewaySettings, gatewaySettings } from './settings.js';

const check = (env: Record<string, string>) =>
  checkGatewaySettings(readSettings(gatewaySettings, { ONEPASS_RELEASE_DIR: 'r', ONEPASS_DATA_DIR: 'd', ...env }));

test('the defaults contradict nothing', () => {
  expect(() => check({})).not.toThrow();
});

test('with a file of cells, ONEPASS_CELLS says nothing', () => {
  expect(() => check({ ONEPASS_CELLS_FILE: 'cells', ONEPASS_PORT: '50051' })).not.toThrow();
});

test.each([
  [
    { ONEPASS_RETRIEVAL: '127.0.0.1:50050' },
    'ONEPASS_RETRIEVAL names 127.0.0.1:50050, where this gateway itself listens by ONEPASS_HOST and ONEPASS_PORT',
  ],
  [
    { ONEPASS_CELLS: 'encoder=127.0.0.1:7,ranking=127.0.0.1:8', ONEPASS_PORT: '8' },
    'ONEPASS_CELLS names 127.0.0.1:8, where this gateway itself listens by ONEPASS_HOST and ONEPASS_PORT',
  ],
  [
    { ONEPASS_HISTORY: 'redis://127.0.0.1:6379', ONEPASS_BUDGET_MS: '100' },
    'ONEPASS_HISTORY_TIMEOUT_MS is 100, which leaves nothing of ONEPASS_BUDGET_MS, 100',
  ],
])('%j is refused', (env, why) => {
  expect(() => check(env)).toThrow(why);
});

test.each(['retrieval', 'http://127.0.0.1:50052', '127.0.0.1:0', '127.0.0.1:65536'])(
  'an address that is none is refused: %s',
  (address) => {
    expect(() => check({ ONEPASS_RETRIEVAL: address })).toThrow('ONEPASS_RETRIEVAL: must look like HOST:PORT');
  },
);
