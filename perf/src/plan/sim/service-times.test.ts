import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { HOPS, loopsMs, paceOf, ServiceDraw } from './draw.js';
import { TIMES } from './fixture.suite.js';
import { readServiceTimes, writeServiceTimes } from './service-times.js';

const folder = mkdtempSync(join(tmpdir(), 'onepass-times-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'times.json');

test('what was written is read again, to the microsecond', async () => {
  await writeServiceTimes(file, TIMES);
  const read = await readServiceTimes(file);
  const rounded = (value: unknown) =>
    JSON.parse(JSON.stringify(value, (_, one) => (typeof one === 'number' ? Number(one.toFixed(3)) : one)));
  expect(rounded({ ...read, pageColumns: 0, actionColumns: 0 })).toEqual(
    rounded({ ...TIMES, pageColumns: 0, actionColumns: 0 }),
  );
  expect(readdirSync(folder)).toEqual(['times.json']);
});

type Held = { pageColumns: string[]; pages: Record<string, number[][]>; actions: number[][] };
const broken: readonly (readonly [string, (held: Held) => unknown, string])[] = [
  ['no JSON', () => undefined, 'holds no service times of npm run plan -- --measure'],
  [
    'of other columns',
    (held) => ({ ...held, pageColumns: ['token'] }),
    'its pageColumns are not tokens, wallMs, client',
  ],
  ['a number short', ({ pages, ...held }) => ({ ...held, pages: { ...pages, keep: [[1, 2]] } }), 'a row is not'],
  [
    'without a kind',
    ({ pages, ...held }) => ({ ...held, pages: { ...pages, append: [] } }),
    'it holds no page of kind append',
  ],
  ['without actions', (held) => ({ ...held, actions: [] }), 'it holds no actions'],
  ['without a way', (held) => ({ ...held, hopMs: null }), 'its hopMs is no number'],
  ['of before loads were fitted', ({ ...held }) => ({ ...held, wakeMs: undefined }), 'its wakeMs is no number'],
];

test.each(broken)('a file that is %s is refused in one sentence', async (_, damage, sentence) => {
  const at = join(folder, 'broken.json');
  writeFileSync(at, JSON.stringify(damage(JSON.parse(readFileSync(file, 'utf8')))) ?? '{');
  await expect(readServiceTimes(at)).rejects.toThrow(sentence);
});

test('a file that is not there is refused, with how to make it', async () => {
  const other = join(folder, 'other.json');
  await expect(readServiceTimes(other)).rejects.toThrow(
    `${other} cannot be read: npm run plan -- --measure ${other} makes it`,
  );
});

test('what is done behind an answer is what a page is shorter than its threads together; where it is longer, its ways are', () => {
  const { behind, hopMs } = paceOf(TIMES);
  expect(hopMs).toBe(TIMES.hopMs);
  expect(behind).toBeGreaterThan(0);
  const slower = TIMES.pages.map((page) => ({
    ...page,
    wallMs: loopsMs(page) + page.encoderGraph + page.rankingGraph + 6,
  }));
  const pace = paceOf({ hopMs: 0.05, wakeMs: 0.1, pages: slower });
  expect(pace).toEqual({ behind: 0, hopMs: expect.closeTo(6 / HOPS, 9), wakeMs: 0.1 });
});

test('rows are drawn whole, of the nearest number of tokens, and by the seed alone', () => {
  const draws = [1, 1].map((seed) => {
    let state = seed;
    return new ServiceDraw(TIMES, () => (state = (state * 0.618 + 0.2) % 1));
  });
  for (const tokens of [10, 64, 130, 192, 224, 1_000]) {
    const [one, same] = draws.map((draw) => draw.page('encode', tokens));
    expect(same).toEqual(one);
    expect(TIMES.pages).toContain(one);
    expect(one).toMatchObject({ kind: 'encode', tokens: tokens < 144 ? 64 : 224 });
  }
  expect(draws[0]!.actions(2).events).toBe(1);
});
