import { writeSync } from 'node:fs';
import { EXIT_CODES, type OnepassError } from '@onepass/errors';
import { libc } from '@onepass/shared-memory';
import { messageOf } from './faults.js';

/**
 * For `onLost`: one sentence on standard error, and the process ends with an exit code of its own, so that a supervisor starts one that opens the device anew. At
 * once: a thread that waits for the device would be waited for, and libraries that tidy up would ask it.
 */
export function endOnLostDevice(error: OnepassError): void {
  const cause = error.cause === undefined ? '' : `: ${messageOf(error.cause)}`;
  writeSync(process.stderr.fd, `${error.message}${cause}\n`);
  libc.exit(EXIT_CODES.lostDevice);
}
