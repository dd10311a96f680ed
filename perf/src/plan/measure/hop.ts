import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

const TIMES = 2_000;
const NANOS_IN_MS = 1e6;

/**
 * From one thread to another that sleeps, in ms: what bytes to `cat` and back take beyond the CPU of both. It is waking, mostly: of the thread and of the
 * core that it wakes on.
 */
export async function wakingMs(): Promise<number> {
  const cat = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
  const cpuOfCat = () => Number(readFileSync(`/proc/${cat.pid}/schedstat`, 'utf8').split(' ')[0]) / NANOS_IN_MS;
  try {
    const echo = async () => {
      const answered = once(cat.stdout, 'data');
      cat.stdin.write('.');
      await answered;
    };
    for (let i = 0; i < TIMES / 4; i += 1) await echo();
    const [own, cats, since] = [process.cpuUsage(), cpuOfCat(), performance.now()];
    for (let i = 0; i < TIMES; i += 1) await echo();
    const wall = performance.now() - since;
    const { user, system } = process.cpuUsage(own);
    return Math.max(0, wall - (user + system) / 1000 - (cpuOfCat() - cats)) / (2 * TIMES);
  } finally {
    cat.stdin.end();
    await once(cat, 'exit');
  }
}
