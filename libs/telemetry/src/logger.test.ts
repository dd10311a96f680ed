import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('of an error a line holds what was said, where and why; not what a library hung on it', () => {
  const program = `
    const { createLogger } = await import(${JSON.stringify(join(import.meta.dirname, '../dist/index.js'))});
    const cause = Object.assign(new Error('READONLY'), { command: { name: 'set', args: ['person:secret'] } });
    createLogger('gateway', 'info').warn({ err: new TypeError('no write', { cause }) }, 'failed');
  `;
  const node = [process.execPath, ['--input-type=module', '-e', program]] as const;
  const line = execFileSync('sh', ['-c', '"$0" "$@" 2>&1', node[0], ...node[1]], { encoding: 'utf8' });
  expect(line).not.toContain('secret');
  expect(JSON.parse(line)).toMatchObject({
    role: 'gateway',
    msg: 'failed',
    err: { type: 'TypeError', message: 'no write', stack: expect.any(String), cause: { message: 'READONLY' } },
  });
});
