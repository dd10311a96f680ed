import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { LastLine } from '../../last-line.js';

/** Where training's package lies. */
export const TRAINING_SOURCES = join(repositoryRoot, 'training', 'src');

/**
 * Runs one of training's commands to its end.
 * @param module Python's, which has the command: the package itself, or a part that needs fewer libraries
 * @param failure beginning of the sentence when it fails
 * @throws OnepassError `startup` with the last line of what it said
 */
export async function runTraining(
  command: string,
  args: readonly string[],
  failure: string,
  {
    python,
    progress,
    module = 'onepass_training',
  }: { readonly python: string; readonly module?: string; progress(line: string): void },
): Promise<void> {
  const child = spawn(python, ['-m', module, command, ...args], {
    env: { ...process.env, PYTHONPATH: TRAINING_SOURCES },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = new LastLine();
  createInterface(child.stdout).on('line', progress);
  said.listen(child.stderr);
  const [code, why] = await new Promise<readonly [number | null, string]>((resolve) => {
    child.on('error', (error) => resolve([1, error.message]));
    child.on('close', (exit) => resolve([exit, said.line]));
  });
  if (code !== 0) throw startupError(`${failure}: ${why || `exit code ${code}`}`);
}
