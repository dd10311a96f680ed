import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from './mesh.js';

export interface WhichDevice {
  /** `cpu`, or a GPU as `cuda:0`. */
  readonly name: string;
  /** In words; begins with the name. */
  readonly reason: string;
}

/**
 * On what a device cell with these settings runs, as it would find out itself.
 * @throws OnepassError `startup`: the cell's sentence when the device that is asked for cannot be had
 */
export async function whichDevice(env: NodeJS.ProcessEnv = process.env): Promise<WhichDevice> {
  const program = join(repositoryRoot, 'services', 'device-cell', 'dist', 'which-device.js');
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program], { env });
    return JSON.parse(lastLine(stdout));
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw startupError(lastLine(stderr) || message, error);
  }
}

/** Libraries may print beside it. */
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1) ?? '';
