import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/** What the program and its test agree on: 4 tokens a page, 16 short histories or 4 full ones in the pool's memory. */
export const FULL = {
  shape: { layers: 2, width: 256, capacity: 128 },
  slots: 32,
  bytes: 2 << 20,
  releaseId: 'r-full',
  restMs: 100,
  tokens: 32,
} as const;

const SIZE = 4 << 20;
/** What may be filled up for a moment, of what other people have. */
const MOST_SIZE = 128 << 20;

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program with a folder on a small tmpfs as its argument: one mounted for it alone in a namespace of its own, as root or as whoever may make
 * one, else one that is there already.
 * @param folder an empty one
 */
export function runOnSmallFileSystem(program: string, folder: string): Ended {
  const mount = `mount -t tmpfs -o size=${SIZE} tmpfs "$1"`;
  for (const options of [['--mount'], ['--user', '--map-root-user', '--mount']]) {
    const inNamespace = (command: string) => spawn('unshare', [...options, 'sh', '-c', command, 'sh', folder, program]);
    if (inNamespace(mount).status === 0) return inNamespace(`${mount} && exec "${process.execPath}" "$2" "$1"`);
  }
  return spawn(process.execPath, [program, mkdtempSync(join(smallFileSystem(), 'onepass-full-'))]);
}

function spawn(command: string, args: readonly string[]): Ended {
  const { status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return { status, signal, stdout, stderr };
}

function smallFileSystem(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const folders = mounts.flatMap((line) => {
    const [, folder = '', kind] = line.split(' ');
    return kind === 'tmpfs' ? [folder] : [];
  });
  const found = folders.find((folder) => {
    try {
      accessSync(folder, constants.W_OK);
      const { bavail, blocks, bsize } = statfsSync(folder);
      return bavail * bsize >= SIZE && blocks * bsize <= MOST_SIZE;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('no namespace can be made to mount a small tmpfs in, and none is there');
  return found;
}
