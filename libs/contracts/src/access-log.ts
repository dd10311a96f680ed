import type { ErrorKind, OnepassError } from '@onepass/errors';
import { type Logger, type RpcMethod, rarely, type Span } from '@onepass/telemetry';

/** Calls that were not even begun. */
const REFUSALS: readonly ErrorKind[] = ['overloaded', 'unauthenticated', 'permission_denied'];
/** Calls that nobody waits for any more. In overload these, too, come by the thousand. */
const GIVEN_UP: readonly ErrorKind[] = ['deadline_exceeded', 'cancelled'];

/** A map's key and all behind it, as in `features["..."]`. */
const CALLERS_KEY = /\[".*$/s;

/**
 * Writes a line for every call that failed, and none for those that went well. Of refusals, and of calls given up, one line every while. What a caller sent is not
 * repeated: of wrong fields their names alone are told, since their values, and the keys of maps, may be anybody's ids.
 */
export function accessLog(logger: Logger, method: RpcMethod) {
  const rare = rarely(logger);
  return (error: OnepassError, call: { span: Span; caller: string | undefined; ms: number }): void => {
    const { kind, detail } = error;
    const fields = {
      method,
      kind,
      caller: call.caller,
      ms: Math.round(call.ms * 10) / 10,
      ...(detail.kind === 'invalid_argument'
        ? { fields: detail.violations.map(({ field }) => field.replace(CALLERS_KEY, '')) }
        : { why: error.message }),
      ...call.span.logFields,
    };
    if (kind === 'internal') logger.error({ ...fields, err: error.cause ?? error }, 'call failed');
    else if (REFUSALS.includes(kind)) rare.warn(fields, `call refused: ${kind}`);
    else if (GIVEN_UP.includes(kind)) rare.info(fields, `call given up: ${kind}`);
    else logger.info(fields, 'call failed');
  };
}
