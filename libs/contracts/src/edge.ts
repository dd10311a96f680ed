import { parsed, type SettingValues, sharedSettings, text } from '@onepass/config';
import { startupError } from '@onepass/errors';
import {
  createLogger,
  type Logger,
  type Measurements,
  openTelemetry,
  type Role,
  type Tracer,
} from '@onepass/telemetry';
import { type Connection, connectTo } from './client.js';
import { openFaults, parseFaults } from './faults.js';
import { openSecurity, securitySettings } from './security.js';
import type { ServerOptions } from './server.js';
import { NO_SWITCHES, openSwitches, type Switches } from './switches.js';
import { telemetrySettings } from './telemetry-settings.js';

/** Settings that every process has, beside those of its role. */
export const edgeSettings = {
  logLevel: sharedSettings.logLevel,
  drainMs: sharedSettings.drainMs,
  ...telemetrySettings,
  ...securitySettings,
  faults: parsed(
    'ONEPASS_FAULTS',
    'what goes wrong on purpose, in development mode only: METHOD:FAULT[:share=S], several with ; between; empty = nothing',
    parseFaults,
    { default: '' },
  ),
  switches: text('ONEPASS_SWITCHES', 'JSON file of kill switches, watched; empty = none can be turned', {
    default: '',
  }),
};

export type EdgeSettings = SettingValues<typeof edgeSettings>;

/** All that a process shows and needs of the outside, whatever its role: telemetry, who may call, how others are called. */
export interface Edge {
  readonly logger: Logger;
  readonly measurements: Measurements;
  readonly tracer: Tracer;
  readonly switches: Switches;
  /** What startServer takes of it. */
  readonly server: Omit<ServerOptions, 'host' | 'port' | 'services'>;
  /** A connection to another process of the mesh. */
  connect(address: string): Connection;
  /** Writes out what is pending. */
  close(): Promise<void>;
}

/**
 * @param releaseId what the process serves, for its telemetry
 * @throws OnepassError `startup`, one sentence naming the setting or file.
 */
export async function openEdge(
  role: Role,
  settings: EdgeSettings & { readonly port?: number },
  releaseId?: string,
): Promise<Edge> {
  const { port, metricsPort } = settings;
  if (port === metricsPort && port !== 0) throw startupError(`ONEPASS_METRICS_PORT and ONEPASS_PORT are both ${port}`);
  const faults = openFaults(settings.faults, settings.mode);
  const logger = createLogger(role, settings.logLevel);
  if (faults) logger.warn({}, 'failure flags are set: calls go wrong on purpose');
  const telemetry = await openTelemetry({ role, releaseId, logger, ...settings });
  const { measurements, tracer } = telemetry;
  const { transport, guard, close } = openSecurity(settings, logger, measurements);
  const { switches: file } = settings;
  const switches = file === '' ? NO_SWITCHES : await openSwitches(file, logger, measurements);
  return {
    logger,
    measurements,
    tracer,
    switches,
    server: { role, logger, measurements, tracer, faults, switches, transport, guard },
    connect: (address) => connectTo(address, { measurements, transport }),
    close: async () => {
      switches.close();
      close();
      await telemetry.close();
    },
  };
}
