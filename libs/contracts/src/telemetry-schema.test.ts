import { readSettings } from '@onepass/config';
import { METRICS, RPC_METHODS } from '@onepass/telemetry';
import { expect, test } from 'vitest';
import { SERVICES_OF_ROLE } from './contract-methods.js';
import { methodPath } from './implement.js';
import { statusCode } from './status.js';
import { telemetrySettings } from './telemetry-settings.js';

test('the telemetry schema knows every method of the contract, and no other', () => {
  const methods = Object.values(SERVICES_OF_ROLE)
    .flat()
    .flatMap((service) => service.methods.map((method) => methodPath(method).slice(1)));
  expect([...RPC_METHODS].sort()).toEqual(methods.sort());
});

test('and every status that a call of ours ends with', () => {
  const { attributes } = METRICS['rpc.server.call.duration'];
  const kinds = METRICS['onepass.stage.failures'].attributes['error.type'];
  const statuses = new Set(['OK', ...kinds.map((kind) => statusCode(kind))]);
  expect([...attributes['rpc.response.status_code']].sort()).toEqual([...statuses].sort());
});

test('settings: off by default; what is wrong is one sentence naming the setting', () => {
  expect(readSettings(telemetrySettings, {})).toEqual({ otlpEndpoint: undefined, traceRatio: 0.01, metricsPort: 0 });
  const on = {
    ONEPASS_OTLP_ENDPOINT: 'https://collector:4318',
    ONEPASS_TRACE_RATIO: '1',
    ONEPASS_METRICS_PORT: '9100',
  };
  expect(readSettings(telemetrySettings, on).otlpEndpoint?.host).toBe('collector:4318');
  const wrong = { ONEPASS_OTLP_ENDPOINT: 'collector:4318', ONEPASS_TRACE_RATIO: '1.5', ONEPASS_METRICS_PORT: '-1' };
  expect(() => readSettings(telemetrySettings, wrong)).toThrow(
    'ONEPASS_OTLP_ENDPOINT: must be a URL that begins with http:// or https://, not "collector:4318"; ' +
      'ONEPASS_TRACE_RATIO: must be a number from 0 to 1, not "1.5"; ' +
      'ONEPASS_METRICS_PORT: must be a whole number from 0 to 65535',
  );
});
