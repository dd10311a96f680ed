import { expect, test } from 'vitest';
import { OneAtATime } from './one-at-a-time.js';

test('writes of one key run in order, each until it succeeds; those of other keys do not wait', async () => {
  const writes = new OneAtATime();
  const told: string[] = [];
  const write = (name: string, failures: number) => async () => {
    told.push(name);
    return failures-- > 0 ? undefined : name;
  };
  let open = (_: string) => {};
  const gate = new Promise<string>((resolve) => {
    open = resolve;
  });
  const blocked = writes.run('other', () => gate);
  expect(await Promise.all([writes.run('key', write('a', 2)), writes.run('key', write('b', 1))])).toEqual(['a', 'b']);
  expect(told).toEqual(['a', 'a', 'a', 'b', 'b']);
  open('c');
  expect(await blocked).toBe('c');
});

test('one that fails does not keep the next from its turn', async () => {
  const writes = new OneAtATime();
  const first = writes.run('key', () => Promise.reject(new Error('away')));
  const second = writes.run('key', async () => 'done');
  await expect(first).rejects.toThrow('away');
  expect(await second).toBe('done');
});
