import { integer, parsed } from '@onepass/config';

/** Where a process tells of itself, beside its log. */
export const telemetrySettings = {
  otlpEndpoint: parsed(
    'ONEPASS_OTLP_ENDPOINT',
    'URL of a collector that takes traces as OTLP over HTTP, such as http://127.0.0.1:4318; empty = nothing is traced',
    parseEndpoint,
    { default: '' },
  ),
  traceRatio: parsed(
    'ONEPASS_TRACE_RATIO',
    'share of requests that are traced, from 0 to 1, where the caller has not decided',
    parseRatio,
    { default: '0.01' },
  ),
  metricsPort: integer('ONEPASS_METRICS_PORT', 'port of Prometheus metrics, GET /metrics; 0 = none', {
    default: 0,
    minimum: 0,
    maximum: 65_535,
  }),
};

function parseEndpoint(raw: string): URL | undefined {
  if (raw === '') return undefined;
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new Error(`must be a URL that begins with http:// or https://, not ${JSON.stringify(raw)}`);
  }
  return url;
}

function parseRatio(raw: string): number {
  const ratio = Number(raw);
  if (raw.trim() === '' || !(ratio >= 0 && ratio <= 1)) throw new Error(`must be a number from 0 to 1, not "${raw}"`);
  return ratio;
}
