import { expect, test } from 'vitest';
import { rarely } from './index.js';

test('one sentence is said once in a while, with how often it was left out; another is not held up', () => {
  const said: unknown[] = [];
  const write = (fields: object, message: string) => void said.push([message, fields]);
  let now = 0;
  const logger = rarely({ debug: write, info: write, warn: write, error: write }, 1000, () => now);
  for (; now < 2500; now += 100) logger.warn({ now }, 'late');
  logger.error({}, 'other');
  expect(said).toEqual([
    ['late', { now: 0 }],
    ['late', { now: 1000, unsaid: 9 }],
    ['late', { now: 2000, unsaid: 9 }],
    ['other', {}],
  ]);
});
