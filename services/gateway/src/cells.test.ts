import { personKey } from '@onepass/routing';
import { expect, test } from 'vitest';
import { Cells, cellReached } from './cells.js';

const ENCODERS = ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'];
/** Nobody is called: who is asked is all that counts. */
const connection = { client: () => ({}) as never, close: () => {} };
const newCells = () =>
  new Cells(
    ENCODERS.map((encoder) => ({ encoder, ranking: `${encoder}0` })),
    () => connection,
  );
const PERSON = personKey({ id: { case: 'userId', value: 'ada' } })!;

test('a hot person stays at their cell until it is far behind the others, and comes back to it', async () => {
  const cells = newCells();
  const [own, second] = cells.inOrder(PERSON);
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const asked: unknown[] = [];
  const pages = Array.from({ length: 40 }, () =>
    cells.use(PERSON, async ([first]) => {
      asked.push(first);
      await ended;
    }),
  );
  const elsewhere = asked.findIndex((cell) => cell !== own);
  expect(elsewhere).toBeGreaterThan(8);
  expect(asked[elsewhere]).toBe(second);
  end();
  await Promise.all(pages);
  await cells.use(PERSON, async ([first]) => expect(first).toBe(own));
});

test('what fails is not under way any more', async () => {
  const cells = newCells();
  for (let page = 0; page < 100; page++) {
    await expect(cells.use(PERSON, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  }
  expect(cells.inOrder(PERSON).map(({ underWay }) => underWay)).toEqual([0, 0, 0]);
});

test('a cell that cannot be reached comes last, however much the others have under way', async () => {
  const cells = newCells();
  const [own, second, third] = cells.inOrder(PERSON);
  cellReached(second!, false);
  own!.underWay = 1_000;
  await cells.use(PERSON, async (order) => expect(order).toEqual([third, own, second]));
});
