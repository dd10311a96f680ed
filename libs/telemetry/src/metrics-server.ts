import { createServer } from 'node:http';
import { startupError } from '@onepass/errors';
import { EXPOSITION_TYPE, exposition } from './exposition.js';
import type { Measurements } from './measurements.js';
import type { Resource } from './resource.js';

/** Enough for a scraper and a person beside it. */
const CONNECTIONS = 16;

/**
 * Answers GET /metrics in Prometheus's text format.
 * @throws OnepassError `startup` naming the setting and the address
 */
export async function serveMetrics(
  measurements: Measurements,
  resource: Resource,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ close(): void }> {
  const server = createServer({ requestTimeout: 5_000 }, (request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') response.writeHead(404).end();
    else if (request.method !== 'GET') response.writeHead(405, { allow: 'GET' }).end();
    else
      response.writeHead(200, { 'content-type': EXPOSITION_TYPE }).end(exposition(measurements.families(), resource));
  });
  server.maxConnections = CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(startupError(`ONEPASS_METRICS_PORT: cannot listen on ${host}:${port}: ${why}`, error));
    });
    server.listen(port, host, resolve);
  });
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
