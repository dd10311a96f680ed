import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SPAN_KINDS } from '../report/findings.js';
import type { TracedSpan } from './traced-span.js';
import { partsOf, SHORTEST_MS, SHORTEST_WAIT_MS } from './waterfall.js';

const RANK = 'onepass.ranking.v1.RankingService/Rank';
const BEGIN = 1_700_000_000_000;

let ids = 0;
function span(
  parent: TracedSpan | undefined,
  name: string,
  [startMs, endMs]: readonly [number, number],
  more: Partial<TracedSpan> = {},
): TracedSpan {
  ids += 1;
  const own = { process: parent?.process ?? 'client', traceId: 't', spanId: `${ids}`, kind: 'internal' as const };
  const parentSpanId = parent?.spanId ?? '';
  return { ...own, parentSpanId, name, startMs: BEGIN + startMs, endMs: BEGIN + endMs, ...more };
}

/** A stage of the gateway that calls ranking, which runs a graph. */
function call(): TracedSpan[] {
  const stage = span(undefined, 'rank', [0, 20], { process: 'gateway' });
  const client = span(stage, RANK, [1, 19], { kind: 'client' });
  const server = span(client, RANK, [4, 17], { kind: 'server', process: 'ranking' });
  return [
    ...[stage, client, server],
    ...[span(client, 'encode_message', [1, 2]), span(client, 'decode_message', [18, 19])],
    ...[span(server, 'decode_message', [5, 6]), span(server, 'encode_message', [15, 16])],
    span(server, 'inference_queue', [7, 8]),
    span(server, 'inference_run', [8, 14], { graph: 'rank' }),
  ];
}

test('a call is taken apart: messages, both ways, the wait, the way to a thread, the graph, and the code between', () => {
  const told = partsOf(call(), 1).map(({ process, kind, name, startMs, endMs }) => [
    `${process}: ${name}`,
    kind,
    Math.round(100 * (endMs - startMs)) / 100,
  ]);
  expect(told).toEqual([
    ['gateway: make the request', 'other', 1],
    ['gateway: write the request to ranking', 'serialise', 1],
    ['gateway: request on its way to ranking', 'network', 2],
    ['ranking: let the call in', 'other', 1],
    ['ranking: read the request', 'serialise', 1],
    ['ranking: read candidates out of the request', 'copy', 1],
    ['ranking: wait for a graph’s turn', 'queue', 1],
    ['ranking: to a thread and back', 'hop', 1],
    ['ranking: run the rank graph', 'compute', 5],
    ['ranking: weigh probabilities to utilities', 'other', 1],
    ['ranking: write the answer', 'serialise', 1],
    ['ranking: hand the answer to HTTP/2', 'network', 1],
    ['gateway: answer on its way from ranking', 'network', 1],
    ['gateway: read the answer of ranking', 'serialise', 1],
    ['gateway: read the scores', 'other', 1],
  ]);
});

/** Any tree of spans, also with clocks that disagree and spans that overlap. */
const anyTrace = fc
  .array(
    fc.record({
      parent: fc.nat(),
      at: fc.tuple(fc.double({ min: -2, max: 30, noNaN: true }), fc.double({ min: 0, max: 20, noNaN: true })),
      kind: fc.constantFrom('internal', 'server', 'client'),
      name: fc.constantFrom(RANK, 'encode_message', 'decode_message', 'inference_run', 'rank', 'search_shard', 'new'),
    }),
    { maxLength: 25 },
  )
  .map((some) => {
    const trace = [span(undefined, 'request', [0, 25])];
    for (const { parent, at, kind, name } of some) {
      trace.push(
        span(trace[parent % trace.length], name, [at[0], at[0] + at[1]], { kind: kind as TracedSpan['kind'] }),
      );
    }
    return trace;
  });

test('the parts of any trace follow each other without a hole from its begin to its end, and none is too short to see', () => {
  fc.assert(
    fc.property(anyTrace, fc.double({ min: 0, max: 3, noNaN: true }), (trace, hop) => {
      const parts = partsOf(trace, hop);
      expect(parts.length).toBeGreaterThan(0);
      let at = 0;
      for (const { startMs, endMs, kind, name } of parts) {
        expect(startMs).toBeCloseTo(at, 6);
        const shortest = kind === 'hop' || kind === 'queue' ? SHORTEST_WAIT_MS : SHORTEST_MS;
        expect(endMs - startMs).toBeGreaterThanOrEqual(shortest - 1e-3);
        expect(SPAN_KINDS).toContain(kind);
        expect(name).not.toBe('');
        at = endMs;
      }
      expect(at).toBeCloseTo(25, 6);
    }),
    { seed: 5, numRuns: 300 },
  );
});

test('of no span nothing is made', () => {
  expect(partsOf([])).toEqual([]);
});
