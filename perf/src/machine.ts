import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** Where figures were measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
  };
}

/** Linux counts CPU time in hundredths of a second, whatever the kernel's own tick. */
const MS_PER_TICK = 10;

/** CPU time that a process has used so far, user and system, all its threads, in ms. */
export function cpuMs(pid: number): number {
  return cpuMsOf(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/** The same of the text of a process's or a thread's `stat`. */
export function cpuMsOf(stat: string): number {
  // The command, field 2, is in parentheses and may hold anything; fields 14 and 15 are user and system time.
  const fields = stat.replace(/^.*\)/s, '').trim().split(/\s+/);
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

/** Memory of a process that lies in RAM, in MiB. */
export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1024);
}
