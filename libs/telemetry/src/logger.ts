import { pino } from 'pino';

/** What core code may know of logging. Fields first, then one sentence. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A value, so that no caller asks whether there is a logger. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** JSON lines on standard error: standard output belongs to what a command answers. */
export function createLogger(role: string, level: LogLevel): Logger {
  const destination = pino.destination({ fd: 2, sync: true });
  // A full disk under the log costs lines, not the process.
  destination.on('error', () => {});
  return pino(
    { level, base: { role }, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: told } },
    destination,
  );
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const MAX_CAUSES = 4;

/** Of an error what was said and where. Not what a library hung on it: Redis clients hang the command there, with a person's id in its keys. */
function told(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  return {
    type: name,
    message,
    stack,
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: told(cause, depth + 1) }),
  };
}
