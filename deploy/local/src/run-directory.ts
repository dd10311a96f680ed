import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A new directory that belongs to this process and to nothing after it. Its name says whose it is, so that the next run can
 * tell what a killed one left behind: process namespace, process id, and the process's start time, because ids come again.
 */
export function createRunDirectory(parent: string): string {
  removeStaleRunDirectories(parent);
  return mkdtempSync(join(parent, `${PREFIX}${namespace()}-${process.pid}-${startTime(process.pid)}-`));
}

const PREFIX = 'onepass-';

function removeStaleRunDirectories(parent: string): void {
  const pattern = new RegExp(`^${PREFIX}(\\d+)-(\\d+)-(\\d+)-`);
  for (const name of readdirSync(parent)) {
    const [, itsNamespace, pid, started] = pattern.exec(name) ?? [];
    // Another namespace's processes cannot be seen from here: theirs may be alive.
    if (itsNamespace !== namespace() || started === startTime(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another user's: not ours to remove.
    }
  }
}

/** Number of this process's pid namespace. */
function namespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
}

/** In clock ticks since boot; undefined when there is no such process. */
function startTime(pid: number): string | undefined {
  try {
    // The command, field 2, is in parentheses and may hold anything; field 22 is the start time.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').trim().split(/\s+/)[19];
  } catch {
    return undefined;
  }
}
