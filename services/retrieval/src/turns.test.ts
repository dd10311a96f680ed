import { expect, test } from 'vitest';
import { Turns } from './turns.js';

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
    await turns.next();
    loops.push([who, loop]);
  };
  await Promise.all([0, 1, 2, 3, 4].map(work));
  expect(loops.map(([who]) => who)).toEqual([0, 1, 2, 3, 4]);
  expect(new Set(loops.map(([, at]) => at)).size).toBe(5);
  // Free again: at once.
  await new Promise((resolve) => setImmediate(resolve));
  const order: string[] = [];
  const free = turns.next().then(() => order.push('turn'));
  setImmediate(() => order.push('later'));
  await free;
  expect(order).toEqual(['turn']);
});
