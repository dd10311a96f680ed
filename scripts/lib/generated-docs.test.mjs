import { expect, test } from 'vitest';
import { tableOf, withPart } from './generated-docs.mjs';

test('a part is put between its marks and nothing else is touched', () => {
  const document = 'before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter';
  const put = 'before\n<!-- x: begin -->\nnew\n<!-- x: end -->\nafter';
  expect(withPart(document, 'x', 'new\n')).toBe(put);
  expect(withPart(put, 'x', 'new\n')).toBe(put);
  expect(() => withPart(document, 'y', 'new')).toThrow('no part between <!-- y: begin -->');
});

test('a setting that several roles have is one row, unless it means another thing', () => {
  const port = (/** @type {number} */ number) => ({ env: 'PORT', description: `port (default ${number})` });
  const level = { env: 'LEVEL', description: 'debug | info' };
  expect(
    tableOf({ a: { port: port(1), level }, b: { port: port(2), level } })
      .split('\n')
      .slice(2),
  ).toEqual([
    '| `LEVEL` | all | debug \\| info |',
    '| `PORT` | a | port (default 1) |',
    '| `PORT` | b | port (default 2) |',
  ]);
});
