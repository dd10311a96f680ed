import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { openTelemetry, silentLogger, type Telemetry } from './index.js';

const open: Telemetry[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((telemetry) => telemetry.close()));
});

async function serve(metricsPort: number): Promise<void> {
  const options = { role: 'ranking' as const, releaseId: 'r1', logger: silentLogger, host: '127.0.0.1' };
  open.push(await openTelemetry({ ...options, otlpEndpoint: undefined, traceRatio: 0, metricsPort }));
}

test('GET /metrics and nothing else; a port in use is one sentence', async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => free.once('listening', resolve));
  const { port } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  await serve(port);
  const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method });
  const text = await (await get('/metrics?name=all')).text();
  expect(text).toContain('target_info{service_name="onepass-ranking",');
  expect(text).toContain('onepass_release_id="r1"} 1');
  expect([(await get('/')).status, (await get('/metrics', 'POST')).status]).toEqual([404, 405]);
  await expect(serve(port)).rejects.toThrow(
    `ONEPASS_METRICS_PORT: cannot listen on 127.0.0.1:${port}: the port is in use`,
  );
});
