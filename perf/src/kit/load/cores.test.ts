import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseCores, pinning, pinProcess, splitCores } from './cores.js';

const cores = (count: number) => Array.from({ length: count }, (_, core) => [core, core + count]);

test('the sender gets whole physical cores, a quarter of them; where there are few, none', () => {
  expect(splitCores(cores(3))).toBeUndefined();
  expect(splitCores(cores(4))).toEqual({ servers: [0, 4, 1, 5, 2, 6], sender: [3, 7] });
  expect(splitCores(cores(9))?.sender).toEqual([7, 16, 8, 17]);
});

test('every core that this process may use is in the split, once', () => {
  const split = splitCores();
  if (split === undefined) return;
  const all = [...split.servers, ...split.sender];
  expect(new Set(all).size).toBe(all.length);
});

test('cores as the kernel lists them and as taskset takes them', () => {
  expect(parseCores('0-2,7,9-9')).toEqual([0, 1, 2, 7, 9]);
  expect(parseCores('')).toEqual([]);
  expect(pinning([3, 7])).toEqual(['taskset', '-c', '3,7']);
  expect(pinning(undefined)).toEqual([]);
});

test('a process runs where it is pinned; a core that is not there is named', async () => {
  const allowed = (pid: number | 'self') => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return parseCores(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '');
  };
  const last = allowed('self').at(-1)!;
  const child = spawn('sleep', ['60']);
  pinProcess(child.pid!, [last]);
  expect(allowed(child.pid!)).toEqual([last]);
  expect(() => pinProcess(child.pid!, [4095])).toThrow(`process ${child.pid} could not be pinned to cores 4095`);
  child.kill();
  await once(child, 'exit');
});
