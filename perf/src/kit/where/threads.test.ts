import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { byOwner, threadTimes } from './threads.js';

/** Runs a program until it says that it has done its work. @returns what its threads had used then */
async function timesOf(program: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${program};console.log('done')`, 'stay'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    return threadTimes(child.pid as number);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

const STAY = 'process.stdin.resume()';

test('work in libuv’s pool counts as that, and work in JavaScript as the main thread’s', {
  timeout: 60_000,
}, async () => {
  const hash = "const {pbkdf2}=await import('node:crypto');await new Promise(r=>pbkdf2('a','b',600000,64,'sha512',r))";
  const pooled = await timesOf(`${STAY};${hash}`);
  expect(pooled.pool).toBeGreaterThan(100);
  expect(pooled.main + pooled.v8 + pooled.profiler).toBeLessThan(pooled.pool);
  const busy = 'let x=0;for(const end=performance.now()+400;performance.now()<end;)x=Math.sin(x+1)';
  const main = await timesOf(`${STAY};${busy}`);
  expect(main.main).toBeGreaterThan(main.pool + main.v8);
  expect(main.pool).toBeLessThan(50);
});

test('threads that have names are told by them, and none is lost', () => {
  const names = ['MainThread', 'DelayedTaskSche', 'V8Worker', 'libuv-worker', 'libuv-worker', 'v8:ProfEvntProc'];
  const threads = names.map((name, i) => ({ id: 10 + i, name, ms: 10 ** i }));
  expect(byOwner(10, threads)).toEqual({ main: 1, v8: 110, pool: 11_000, profiler: 100_000 });
});
