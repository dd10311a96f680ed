import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startupError } from '@onepass/errors';

export interface DeviceGraphsOptions {
  /** The repository's directory. */
  readonly root: string;
  readonly releaseDir: string;
  /** Of weights and KV. */
  readonly dtype: 'float32' | 'float16';
  /** Makes training's Python environment ready, which takes minutes the first time. Answers its interpreter. */
  readonly python: () => Promise<string>;
  /** Told before they are made, which takes seconds. */
  readonly onMake?: (directory: string) => void;
}

/**
 * Device graphs of the release for a mesh on this machine: those of an earlier start, else made now by training's command.
 * @returns their directory
 * @throws OnepassError `startup`: one sentence saying why there are none, and what to do
 */
export async function ensureDeviceGraphs({
  root,
  releaseDir,
  dtype,
  python,
  onMake,
}: DeviceGraphsOptions): Promise<string> {
  const id = releaseIdOf(releaseDir);
  const directory = join(root, '.onepass', 'device-graphs', `${id}-${dtype}`);
  if (existsSync(join(directory, 'device.json'))) return directory;
  const interpreter = await python().catch((error: Error) => {
    throw startupError(
      `--device-cell wants device graphs of release ${id}, which Python makes, and ${error.message}; on Debian and Ubuntu "sudo apt-get install python3-venv" gives one, and --device-graphs DIR takes graphs that were made elsewhere`,
      error,
    );
  });
  onMake?.(directory);
  const args = ['--release', releaseDir, '--dtype', dtype, '--out', directory];
  try {
    await promisify(execFile)(interpreter, ['-m', 'onepass_training.device', 'device-graphs', ...args], {
      env: { ...process.env, PYTHONPATH: join(root, 'training', 'src') },
    });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw startupError(`device graphs of ${releaseDir} cannot be made: ${lastLine(stderr) || message}`, error);
  }
  return directory;
}

/** Of weights and KV, as device.json says it; undefined where that cannot be read, for which the device cell has the sentence. */
export function precisionOf(directory: string): string | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'device.json'), 'utf8')).dtype;
  } catch {
    return undefined;
  }
}

function releaseIdOf(releaseDir: string): string {
  const path = join(releaseDir, 'manifest.json');
  try {
    const { id } = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof id === 'string') return id;
  } catch (error) {
    throw startupError(`${path} cannot be read: ${(error as Error).message}`, error);
  }
  throw startupError(`${path} has no id: is it a release?`);
}

const lastLine = (text = '') => text.trimEnd().split('\n').at(-1) ?? '';
