import { OnepassError } from '@onepass/errors';
import { expect, test } from 'vitest';
import { Turns } from './turns.js';

const terms = { signal: new AbortController().signal, priority: 'interactive' } as const;

test('each turn of the event loop goes to one, in order', async () => {
  const turns = new Turns();
  const loops: [number, number][] = [];
  let loop = 0;
  const count = () => {
    loop++;
    if (loops.length < 5) setImmediate(count);
  };
  setImmediate(count);
  const work = async (who: number) => {
    await turns.next(terms);
    loops.push([who, loop]);
  };
  await Promise.all([0, 1, 2, 3, 4].map(work));
  expect(loops.map(([who]) => who)).toEqual([0, 1, 2, 3, 4]);
  expect(new Set(loops.map(([, at]) => at)).size).toBe(5);
  // Free again: at once.
  await new Promise((resolve) => setImmediate(resolve));
  const order: string[] = [];
  const free = turns.next(terms).then(() => order.push('turn'));
  setImmediate(() => order.push('later'));
  await free;
  expect(order).toEqual(['turn']);
});

test('who goes while it waits takes no turn, and higher priorities have theirs first', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const gone = new AbortController();
  const turn = (name: string, more: object = {}) => turns.next({ ...terms, ...more }).then(() => void order.push(name));
  const running = turn('first');
  const batch = turn('batch', { priority: 'batch' });
  const leaving = turn('leaving', { signal: gone.signal });
  const last = turn('interactive');
  const reason = new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
  gone.abort(reason);
  await expect(leaving).rejects.toBe(reason);
  await expect(turn('late', { signal: gone.signal })).rejects.toBe(reason);
  await Promise.all([running, batch, last]);
  expect(order).toEqual(['first', 'interactive', 'batch']);
});
