import type { Logger } from './logger.js';
import { Measurements } from './measurements.js';
import { serveMetrics } from './metrics-server.js';
import { measureProcess } from './process-measurements.js';
import { resourceOf } from './resource.js';
import type { Role } from './schema/index.js';
import { NO_TRACER, type Tracer } from './tracing.js';

export interface TelemetryOptions {
  readonly role: Role;
  readonly releaseId: string | undefined;
  readonly logger: Logger;
  /** Undefined: nothing is traced, and no code for it is loaded. */
  readonly otlpEndpoint: URL | undefined;
  /** Share of the traces begun here that are recorded. */
  readonly traceRatio: number;
  /** Of the Prometheus endpoint; 0 = none. */
  readonly metricsPort: number;
  readonly host: string;
}

/** What one process tells of itself, and where to. */
export interface Telemetry {
  readonly measurements: Measurements;
  readonly tracer: Tracer;
  /** Sends what is pending. */
  close(): Promise<void>;
}

/** @throws OnepassError `startup` naming the setting */
export async function openTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { role, releaseId, logger, otlpEndpoint, traceRatio, metricsPort, host } = options;
  const measurements = new Measurements(role);
  measureProcess(measurements);
  const resource = resourceOf(role, releaseId);
  const server =
    metricsPort === 0 ? undefined : await serveMetrics(measurements, resource, { host, port: metricsPort });
  const tracing =
    otlpEndpoint &&
    (await import('./otlp.js')).startTracing({
      endpoint: otlpEndpoint,
      // Traces begin at the front door: one that a stage began would have lost the page around it.
      ratio: role === 'gateway' ? traceRatio : 0,
      resource,
      logger,
      measurements,
    });
  return {
    measurements,
    tracer: tracing?.tracer ?? NO_TRACER,
    close: async () => {
      server?.close();
      await tracing?.close();
    },
  };
}
