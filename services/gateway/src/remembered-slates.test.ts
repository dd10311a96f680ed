import { setImmediate } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { RecommendResponseSchema } from '@onepass/contracts';
import { expect, test } from 'vitest';
import { RememberedSlates } from './remembered-slates.js';

const once = async (slates: RememberedSlates, ...how: Parameters<RememberedSlates['once']>) =>
  fromBinary(RecommendResponseSchema, await slates.once(...how));

test('a slate is remembered for ten minutes', async () => {
  let now = 0;
  const slates = new RememberedSlates(() => now);
  let made = 0;
  const make = async () => ({ slateId: `s-${++made}` });
  expect((await once(slates, 'k', 'd', make)).slateId).toBe('s-1');
  now = 600_000 - 1;
  expect((await once(slates, 'k', 'd', make)).slateId).toBe('s-1');
  await expect(once(slates, 'k', 'other', make)).rejects.toThrow('request_id');
  now = 600_000;
  expect((await once(slates, 'k', 'other', make)).slateId).toBe('s-2');
});

test('memory is bounded: the oldest slates go', async () => {
  const slates = new RememberedSlates(() => 0, 1_000);
  for (let i = 0; i < 50; i++) await once(slates, `k${i}`, 'd', async () => ({ slateId: 'x'.repeat(98) }));
  expect(slates.size).toBe(10);
  expect((await once(slates, 'k49', 'd', async () => ({ slateId: 'new' }))).slateId).not.toBe('new');
  expect((await once(slates, 'k0', 'd', async () => ({ slateId: 'new' }))).slateId).toBe('new');
});

test('who waits for a slate that fails makes its own', async () => {
  const slates = new RememberedSlates();
  const first = once(slates, 'k', 'd', () => Promise.reject(new Error('gone')));
  const second = once(slates, 'k', 'd', async () => ({ slateId: 'mine' }));
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
  const settled = await Promise.allSettled(Array.from({ length: 20 }, () => once(slates, 'k', 'd', make)));
  const answered = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.slateId] : []));
  expect([tries, answered.length, new Set(answered)]).toEqual([3, 18, new Set(['s-3'])]);
});
