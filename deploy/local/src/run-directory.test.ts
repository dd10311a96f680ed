import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRunDirectory } from './run-directory.js';

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'onepass-run-directory-test-'));
});
afterEach(() => rmSync(parent, { recursive: true }));

test('what a process that is gone left behind is removed, what a living one has is kept', async () => {
  const mine = createRunDirectory(parent);
  const [prefix, namespace, , started] = basename(mine).split('-');
  const gone = spawn('true');
  await once(gone, 'close');
  const stale = join(parent, [prefix, namespace, gone.pid, started, 'x'].join('-'));
  // The same process id, taken by a later process.
  const recycled = join(parent, [prefix, namespace, process.pid, '1', 'x'].join('-'));
  const foreign = join(parent, [prefix, '1', gone.pid, started, 'x'].join('-'));
  const other = join(parent, 'onepass-something');
  for (const path of [stale, recycled, foreign, other]) mkdirSync(path);
  expect(createRunDirectory(parent)).not.toBe(mine);
  expect([mine, foreign, other].filter(existsSync)).toHaveLength(3);
  expect([stale, recycled].filter(existsSync)).toEqual([]);
});
