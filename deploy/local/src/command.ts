import { type ParseArgsConfig, parseArgs } from 'node:util';
import { OnepassError, startupError } from '@onepass/errors';

/** A command to its exit code: what goes wrong is one sentence, with its cause where it is a defect, and the code is 1. */
export async function runCommand(run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    console.error(error.message);
    if (error.kind === 'internal') console.error(error.cause);
    return 1;
  }
}

/** As Node's `parseArgs`. @throws OnepassError `startup`, a sentence that names the option */
export function readCommandLine<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw startupError((error as Error).message, error);
  }
}
