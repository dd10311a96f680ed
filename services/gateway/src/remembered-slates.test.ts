import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RememberedSlates } from './remembered-slates.js';

test('a slate is remembered for ten minutes', async () => {
  let now = 0;
  const slates = new RememberedSlates(() => now);
  let made = 0;
  const make = async () => ({ slateId: `s-${++made}` });
  expect((await slates.once('k', 'd', make)).slateId).toBe('s-1');
  now = 600_000 - 1;
  expect((await slates.once('k', 'd', make)).slateId).toBe('s-1');
  await expect(slates.once('k', 'other', make)).rejects.toThrow('request_id');
  now = 600_000;
  expect((await slates.once('k', 'other', make)).slateId).toBe('s-2');
});

test('memory is bounded: the oldest slates go', async () => {
  const slates = new RememberedSlates(() => 0, 1_000);
  for (let i = 0; i < 50; i++) await slates.once(`k${i}`, 'd', async () => ({ slateId: 'x'.repeat(98) }));
  expect(slates.size).toBe(10);
  expect((await slates.once('k49', 'd', async () => ({ slateId: 'new' }))).slateId).not.toBe('new');
  expect((await slates.once('k0', 'd', async () => ({ slateId: 'new' }))).slateId).toBe('new');
});

test('who waits for a slate that fails makes its own', async () => {
  const slates = new RememberedSlates();
  const first = slates.once('k', 'd', () => Promise.reject(new Error('gone')));
  const second = slates.once('k', 'd', async () => ({ slateId: 'mine' }));
  await expect(first).rejects.toThrow('gone');
  expect((await second).slateId).toBe('mine');
});

test('of many repeats at once, one at a time tries, and all get what the first to succeed made', async () => {
  const slates = new RememberedSlates();
  let tries = 0;
  let under = 0;
  const make = async () => {
    expect(++under).toBe(1);
    const number = ++tries;
    await setImmediate();
    under--;
    if (number < 3) throw new Error(`try ${number}`);
    return { slateId: `s-${number}` };
  };
  const settled = await Promise.allSettled(Array.from({ length: 20 }, () => slates.once('k', 'd', make)));
  const answered = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.slateId] : []));
  expect([tries, answered.length, new Set(answered)]).toEqual([3, 18, new Set(['s-3'])]);
});
