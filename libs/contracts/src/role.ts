import { EXIT_CODES, OnepassError } from '@onepass/errors';
import type { Logger } from '@onepass/telemetry';

/** What a role gives back once it serves. */
export interface RunningRole {
  readonly address: string;
  readonly logger: Logger;
  stop(): Promise<void>;
}

export interface RoleProgram {
  readonly role: string;
  /** One sentence for --help. */
  readonly summary: string;
  /** The settings' help lines. */
  readonly help: string;
  start(env: NodeJS.ProcessEnv): Promise<RunningRole>;
}

/** Set by a supervisor that holds the other end of standard input: when it closes, the role stops, so none outlives its supervisor. */
export const PARENT_PIPE = 'ONEPASS_PARENT_PIPE';

/**
 * The main of every role: --help, start, one sentence and exit code 1 when it cannot start, a graceful drain on SIGTERM and SIGINT. An error that
 * nobody handled ends the process with a code of its own: its state is unknown, and a supervisor starts a clean one.
 */
export async function runRole(program: RoleProgram): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(
      `onepass ${program.role}: ${program.summary}\n\nSettings, from the environment:\n${program.help}\n`,
    );
    return;
  }
  let running: RunningRole;
  try {
    running = await program.start(process.env);
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    process.stderr.write(`onepass ${program.role}: ${error.message}\n`);
    if (error.kind === 'internal') process.stderr.write(`${String((error.cause as Error)?.stack ?? error.cause)}\n`);
    process.exit(EXIT_CODES.failed);
  }
  running.logger.info({ address: running.address }, 'serving');
  stopOnSignals(running);
}

function stopOnSignals(running: RunningRole): void {
  let stopping = false;
  const stop = (why: string) => {
    if (stopping) return;
    stopping = true;
    running.logger.info({ why }, 'stopping');
    running.stop().then(
      () => process.exit(0),
      (error) => {
        running.logger.error({ err: error }, 'did not stop cleanly');
        process.exit(EXIT_CODES.failed);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  const crash = (error: unknown) => {
    running.logger.error({ err: error }, 'unhandled error');
    process.exit(EXIT_CODES.defect);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  if (process.env[PARENT_PIPE] === '1') {
    process.stdin.on('end', () => stop('the supervisor has gone'));
    process.stdin.on('error', () => stop('the supervisor has gone'));
    process.stdin.resume();
  }
}
