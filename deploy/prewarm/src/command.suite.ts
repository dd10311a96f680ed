import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { repositoryRoot } from '@onepass/local';

export interface CommandResult {
  readonly code: number;
  readonly output: string;
}

/**
 * Runs the command as it is built.
 * @param env beside the environment's own
 * @param isOver tells by the output so far whether to press Ctrl-C
 */
export async function prewarmCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  isOver: (text: string) => boolean = () => false,
): Promise<CommandResult> {
  const program = pathToFileURL(join(repositoryRoot, 'deploy/prewarm/dist/index.js')).href;
  const start = `import(${JSON.stringify(program)}).then(async (p) => process.exit(await p.runPrewarm(process.argv.slice(1))))`;
  const child = spawn(process.execPath, ['-e', start, '--', ...args], { env: { ...process.env, ...env } });
  let output = '';
  let interrupted = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      // The second one ends a process at once.
      if (!interrupted && isOver(output)) interrupted = child.kill('SIGINT');
    });
  }
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}
