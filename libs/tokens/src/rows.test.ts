import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  candidateRow,
  contextRows,
  headOffset,
  type KnownWorld,
  type PastEvent,
  pastTokens,
  rowLayout,
  writePastRow,
  writePastRows,
} from './index.js';

const DAY = 86_400_000;
const layout = rowLayout({
  model: { itemDimension: 2 },
  vocabulary: {
    actions: [{ name: 'click' }, { name: 'save' }, { name: 'hide' }],
    surfaces: ['home', 'related'],
    requestFeatures: [],
  },
  tokens: { dailyPeriodsMs: [DAY, 7 * DAY, 7_889_400_000], deltaScale: 20 },
});
const NOW = Date.UTC(2026, 10, 21, 6);

const items = ['a', 'b', 'c'];
const world: KnownWorld = {
  itemRow: (id) => (items.includes(id) ? items.indexOf(id) : undefined),
  knowsQuery: (text) => text !== '!',
  actionIndex: (name) => ({ click: 0, save: 1, hide: 2 })[name],
  surfaceIndex: (name) => ({ home: 0, related: 1 })[name],
};
const embeddings = {
  itemEmbedding: (row: number) => Float32Array.of(row + 1, -row),
  queryEmbedding: (text: string) => Float32Array.of(text.length, 0.5),
};

function rowsOf(events: readonly PastEvent[]): Float32Array {
  const tokens = pastTokens(world, events);
  // Dirty, so that a column which is not written shows.
  const out = new Float32Array(tokens.length * layout.features).fill(7);
  writePastRows(layout, out, tokens, { previousMs: undefined, ...embeddings });
  return out;
}

const rawEvents = fc
  .array(
    fc.record({
      itemId: fc.constantFrom('a', 'b', 'c', 'unknown', undefined),
      queryText: fc.constantFrom('mug', 'teal mug', '!', undefined),
      actions: fc.subarray(['click', 'save', 'hide', 'unheard-of']),
      surface: fc.constantFrom('home', 'related', 'elsewhere'),
      gapMs: fc.integer({ min: 0, max: 9 * DAY }),
    }),
    { maxLength: 20 },
  )
  .map((raw) => {
    let effectiveMs = NOW;
    return raw.map(({ gapMs, ...event }): PastEvent => {
      effectiveMs += gapMs;
      return { ...event, effectiveMs };
    });
  });

test('columns follow the order of the release format', () => {
  // E 2, actions 3, mask, surfaces 2, three periods as sin and cos, delta, has previous, four kinds.
  expect(layout).toMatchObject({ actionColumn: 2, maskColumn: 5, surfaceColumn: 6, timeColumn: 8, kindColumn: 16 });
  expect(layout.features).toBe(2 + (3 + 1) + 2 + 8 + 4);
});

test('a past row written out by hand', () => {
  const out = new Float32Array(2 * layout.features).fill(9);
  writePastRow(layout, out, 1, {
    embedding: Float32Array.of(0.5, -0.5),
    query: false,
    actions: [0, 2],
    surface: 1,
    timeMs: NOW,
    previousMs: NOW - 60_000,
  });
  expect([...out.subarray(0, layout.features)]).toEqual(Array(layout.features).fill(9));
  const row = out.subarray(layout.features);
  expect([...row.subarray(0, 8)]).toEqual([0.5, -0.5, 1, 0, 1, 0, 0, 1]);
  // Six in the morning: a quarter of the day.
  expect(row[8]).toBeCloseTo(1, 6);
  expect(row[9]).toBeCloseTo(0, 6);
  expect(row[14]).toBeCloseTo(Math.log1p(60) / 20, 6);
  expect([...row.subarray(15)]).toEqual([1, 1, 0, 0, 0]);
});

test('nothing later changes an earlier row', () => {
  fc.assert(
    fc.property(rawEvents, fc.nat(20), (events, cut) => {
      const all = rowsOf(events);
      const earlier = rowsOf(events.slice(0, cut));
      expect(all.subarray(0, earlier.length)).toEqual(earlier);
    }),
    { seed: 2 },
  );
});

test('a query is a row of its text without its actions', () => {
  const row = rowsOf([{ queryText: 'mug', actions: ['click', 'search'], surface: 'related', effectiveMs: NOW }]);
  expect([...row.subarray(0, 8)]).toEqual([3, 0.5, 0, 0, 0, 0, 0, 1]);
  expect([...row.subarray(14)]).toEqual([0, 0, 0, 1, 0, 0]);
});

test('unknown items, texts and actions make no row and are nobody’s previous', () => {
  fc.assert(
    fc.property(rawEvents, (events) => {
      const known = events
        .map((event) => ({ ...event, actions: event.actions.filter((name) => name !== 'unheard-of') }))
        .filter(({ itemId, queryText, actions }) => {
          if (itemId === undefined) return queryText !== undefined && queryText !== '!';
          return items.includes(itemId) && actions.length > 0;
        });
      expect(rowsOf(events)).toEqual(rowsOf(known));
    }),
    { seed: 3 },
  );
});

test('rows written in two goes are the rows written in one', () => {
  fc.assert(
    fc.property(rawEvents, fc.nat(20), (events, cut) => {
      const tokens = pastTokens(world, events);
      const head = tokens.slice(0, cut);
      const tail = tokens.slice(cut);
      const rest = new Float32Array(tail.length * layout.features);
      writePastRows(layout, rest, tail, { previousMs: head.at(-1)?.timeMs, ...embeddings });
      expect(rowsOf(events).subarray(head.length * layout.features)).toEqual(rest);
    }),
    { seed: 4 },
  );
});

test('context rows carry their embeddings and leave actions and mask empty', () => {
  const rows = contextRows(layout, {
    surface: 0,
    nowMs: NOW,
    previousMs: NOW - DAY,
    embeddings: Float32Array.of(1, 2, 3, 4),
  });
  expect(rows).toHaveLength(2 * layout.features);
  expect([...rows.subarray(0, 8)]).toEqual([1, 2, 0, 0, 0, 0, 1, 0]);
  expect([...rows.subarray(layout.features, layout.features + 2)]).toEqual([3, 4]);
  expect([...rows.subarray(layout.features + 2)]).toEqual([...rows.subarray(2, layout.features)]);
  expect([...rows.subarray(16, 20)]).toEqual([0, 0, 1, 0]);
});

test('without embeddings and without history there is one row, with a time of day only', () => {
  const row = contextRows(layout, { surface: 1, nowMs: NOW });
  expect(row).toHaveLength(layout.features);
  expect([...row.subarray(0, 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 1]);
  expect([...row.subarray(14)]).toEqual([0, 0, 0, 0, 1, 0]);
});

test('features of the request stand at the end of its own rows, and in no other', () => {
  const featured = rowLayout({
    model: { itemDimension: 2 },
    vocabulary: { actions: [{ name: 'click' }], surfaces: ['home'], requestFeatures: ['age', 'hour', 'toString'] },
    tokens: { dailyPeriodsMs: [DAY], deltaScale: 20 },
  });
  expect(featured.features).toBe(2 + (1 + 1) + 1 + 4 + 4 + 2 * 3);
  const end = featured.kindColumn + 4;
  expect(featured.requestFeatureColumn).toBe(end);
  const request = { surface: 0, nowMs: NOW, embeddings: Float32Array.of(1, 2, 3, 4) };
  // In the release's order, as float32; what was not given is told from a 0.
  const rows = contextRows(featured, { ...request, features: { hour: 0.1, age: 0, nothing: 5 } });
  const [first, second] = [rows.subarray(0, featured.features), rows.subarray(featured.features)];
  expect([...first.subarray(end)]).toEqual([0, Math.fround(0.1), 0, 1, 1, 0]);
  expect(second.subarray(end)).toEqual(first.subarray(end));
  expect(first.subarray(0, end)).toEqual(contextRows(featured, request).subarray(0, end));
  expect([...contextRows(featured, request).subarray(end, featured.features)]).toEqual([0, 0, 0, 0, 0, 0]);
  expect([...candidateRow(featured, request).subarray(end - 2)]).toEqual([0, 0, 0, 0, 0, 0]);
  const past = new Float32Array(featured.features).fill(9);
  const embedding = Float32Array.of(1, 2);
  writePastRow(featured, past, 0, { embedding, query: false, actions: [0], surface: 0, timeMs: NOW });
  expect([...past.subarray(end)]).toEqual([0, 0, 0, 0, 0, 0]);
});

test('the candidate row is masked and has no embedding', () => {
  const row = candidateRow(layout, { surface: 0, nowMs: NOW, previousMs: NOW + 5 });
  expect(row).toHaveLength(layout.features - 2);
  expect([...row.subarray(0, 6)]).toEqual([0, 0, 0, 1, 1, 0]);
  // A past action after "now" counts as no time ago.
  expect([...row.subarray(12)]).toEqual([0, 1, 0, 0, 0, 1]);
});

test('the head’s offset is the logarithm of the seconds ahead', () => {
  expect(headOffset(layout, 0)).toBe(0);
  expect(headOffset(layout, 3_600_000)).toBeCloseTo(Math.log1p(3600) / 20, 6);
});
