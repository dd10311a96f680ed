import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cpuMs } from '../../machine.js';
import { cpuPartsOf, flameOf } from './cpu-parts.js';
import { beginProfiles, endProfiles, profiledEnvironment } from './profiler.js';
import { threadTimes, timesBetween } from './threads.js';

const folder = mkdtempSync(join(tmpdir(), 'onepass-profiler-test-'));
let program: BundledProgram;
beforeAll(async () => {
  program = await bundleProgram(new URL('./profiler.program.ts', import.meta.url));
});
afterAll(async () => {
  program?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Works in JavaScript and in libuv's pool, and says after each piece of work that it is done. */
const WORK = `
const { pbkdf2 } = await import('node:crypto');
function countPages(n) { return n < 2 ? n : countPages(n - 1) + countPages(n - 2); }
for (;;) {
  for (const end = performance.now() + 40; performance.now() < end;) countPages(18);
  await new Promise((resolve) => pbkdf2('a', 'b', 40_000, 64, 'sha512', resolve));
  console.log('page');
}`;

test('a process is profiled from signal to signal, as often as asked, and its parts are the CPU that the kernel counts', {
  timeout: 60_000,
}, async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', WORK], {
    env: { ...process.env, ...profiledEnvironment(folder, program.path) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    const pid = child.pid as number;
    for (let times = 0; times < 2; times += 1) {
      await beginProfiles({ worker: pid }, folder);
      const [before, cpuBefore] = [threadTimes(pid), cpuMs(pid)];
      for (let page = 0; page < 10; page += 1) await once(child.stdout, 'data');
      const [after, cpuAfter] = [threadTimes(pid), cpuMs(pid)];
      const { worker } = await endProfiles({ worker: pid }, folder);
      const threads = timesBetween(before, after);
      const one = { profile: worker!, threads, pages: 1 };
      const sum = cpuPartsOf(one).reduce((total, { ms }) => total + ms, 0);
      const whole = cpuAfter - cpuBefore - threads.profiler;
      // The kernel counts in hundredths of a second, thread by thread.
      expect(Math.abs(sum - whole)).toBeLessThan(0.05 * whole + 40);
      const names = JSON.stringify(flameOf(one, folder));
      expect(names).toContain('countPages');
      expect(names).toContain('graphs, thread pool');
    }
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  expect(existsSync(`/proc/${child.pid}`)).toBe(false);
});

test('a process that has ended is one sentence', async () => {
  const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
  await once(child, 'close');
  await expect(beginProfiles({ gateway: child.pid as number }, folder)).rejects.toMatchObject({
    kind: 'startup',
    message: 'gateway was not profiled: it has ended',
  });
});
