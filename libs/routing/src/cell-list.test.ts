import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CellLine, formatCell, parseCellFile, parseCells } from './index.js';

const both = 'encoder=a:1,ranking=b:2';

test('cells are named, by their encoder where nobody names them', () => {
  expect(parseCells(`${both}; ranking=d:4,encoder=c:3,name=two,state=draining`)).toEqual([
    { name: 'a:1', encoder: 'a:1', ranking: 'b:2', state: 'serving' },
    { name: 'two', encoder: 'c:3', ranking: 'd:4', state: 'draining' },
  ]);
  expect(parseCells(`${both},ranking-encoder=c:3`)).toMatchObject([{ rankingEncoder: 'c:3' }]);
});

test('a file has a cell a line, and lines that say nothing', () => {
  const text = `# ours\n\n  name=x,${both} \r\n\t# encoder=c:3,ranking=d:4\nname=y,encoder=e:5,ranking=f:6,state=draining`;
  expect(parseCellFile(text).map(({ name, state }) => [name, state])).toEqual([
    ['x', 'serving'],
    ['y', 'draining'],
  ]);
});

test.each([
  ['', 'must look like encoder=HOST:PORT,ranking=HOST:PORT, not ""'],
  ['encoder=a:1', 'must look like'],
  ['encoder=a,ranking=b:1', 'must look like'],
  ['encoder=a:0,ranking=b:1', 'must look like'],
  ['a:1,b:2', 'must look like'],
  [`${both},x=c:3`, 'must look like'],
  [`${both},encoder=c:3`, 'must look like'],
  [`${both};`, 'must look like'],
  ['encoder=a:1,ranking-encoder=b:2', 'must look like'],
  [`${both},name=`, 'has a name that is empty'],
  [`${both},name=a b`, 'has a name that is empty'],
  [`${both},state=gone`, 'has a state that is neither serving nor draining'],
  [`${both};encoder=a:1,ranking=c:3`, 'names one encoder twice'],
  [`${both},ranking-encoder=a:1`, 'names one encoder twice'],
  [`${both};encoder=c:3,ranking=b:2`, 'names one ranking twice'],
  [`name=x,${both};name=x,encoder=c:3,ranking=d:4`, 'names one cell twice'],
  [`${both},ranking-encoder=c:3;encoder=d:4,ranking=e:5`, 'must name a ranking-encoder for every cell or for none'],
])('%s is refused', (raw, why) => {
  expect(() => parseCells(raw)).toThrow(why);
});

test.each([
  ['', 'names no cell'],
  ['# nothing\n\n', 'names no cell'],
  [`${both}\n\nname=y,encoder=`, 'line 3 must look like'],
  ['\u0000\u0001garbage', 'line 1 must look like'],
  [`${both}\n${both}`, 'names one encoder twice'],
])('a file that holds %j is refused', (text, why) => {
  expect(() => parseCellFile(text)).toThrow(why);
});

test('what is written is read again', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const address = (host: string) => port.map((number) => `${host}:${number}`);
  const line = fc.record(
    {
      name: fc.stringMatching(/^[\w.-]{1,20}$/),
      encoder: address('e'),
      ranking: address('r'),
      rankingEncoder: address('x'),
      state: fc.constantFrom('serving', 'draining'),
    },
    { requiredKeys: ['name', 'encoder', 'ranking', 'state'] },
  ) as fc.Arbitrary<CellLine>;
  fc.assert(
    fc.property(line, (cell) => {
      expect(parseCellFile(`${formatCell(cell)}\n`)).toEqual([cell]);
      expect(parseCells(formatCell(cell))).toEqual([cell]);
    }),
    { seed: 3, numRuns: 200 },
  );
});

test('anything at all is cells or one sentence', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        expect(parseCellFile(text).length).toBeGreaterThan(0);
      } catch (error) {
        expect((error as Error).message).toMatch(/^(line \d+ |names |must )/);
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});
