import { type SettingValues, sharedSettings } from '@onepass/config';
import { createLogger, type Logger, Measurements, measureProcess, NO_TRACER, type Tracer } from '@onepass/telemetry';
import { type Connection, connectTo } from './client.js';
import type { ServerOptions } from './server.js';

/** Settings that every process has, beside those of its role. */
export const edgeSettings = {
  logLevel: sharedSettings.logLevel,
  drainMs: sharedSettings.drainMs,
};

export type EdgeSettings = SettingValues<typeof edgeSettings>;

/** All that a process shows and needs of the outside, whatever its role: telemetry, who may call, how others are called. */
export interface Edge {
  readonly logger: Logger;
  readonly measurements: Measurements;
  readonly tracer: Tracer;
  /** What startServer takes of it. */
  readonly server: Pick<ServerOptions, 'role' | 'logger' | 'measurements' | 'tracer' | 'guard' | 'faults'>;
  /** A connection to another process of the mesh. */
  connect(address: string): Connection;
  /** Writes out what is pending. */
  close(): Promise<void>;
}

/** @throws OnepassError `startup`, one sentence naming the setting or file. */
export async function openEdge(role: string, settings: EdgeSettings): Promise<Edge> {
  const logger = createLogger(role, settings.logLevel);
  const measurements = new Measurements();
  measureProcess(measurements);
  const tracer = NO_TRACER;
  return {
    logger,
    measurements,
    tracer,
    server: { role, logger, measurements, tracer },
    connect: (address) => connectTo(address, measurements),
    close: async () => {},
  };
}
