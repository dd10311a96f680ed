import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CPU_PARTS, type FlameFrame } from '../report/findings.js';
import { cpuPartsOf, flameOf, type Profiled } from './cpu-parts.js';
import type { CpuProfile, ProfileNode } from './cpu-profile.js';

const ROOT = '/somewhere/onepass';
const GRPC = `file://${ROOT}/node_modules/@grpc/grpc-js/build/src/server.js`;
const PROTOBUF = `file://${ROOT}/node_modules/@bufbuild/protobuf/dist/esm/to-binary.js`;
const PAGES = `file://${ROOT}/libs/pages/dist/utility.js`;

const node = (id: number, functionName: string, url = '', children: number[] = []): ProfileNode => ({
  id,
  callFrame: { functionName, url, lineNumber: 0 },
  children,
});

/** gRPC calls protobuf, which calls what is native; beside them the program, the collector, idle time and rules. */
const NODES = [
  node(1, '(root)', '', [2, 5, 6, 7, 8, 11]),
  node(2, 'onMessage', GRPC, [3]),
  node(3, 'toBinary', PROTOBUF, [4]),
  node(4, 'encodeUtf8String'),
  node(5, '(program)'),
  node(6, '(garbage collector)'),
  node(7, '(idle)'),
  node(8, '', PAGES, [9, 10]),
  node(9, 'emit', 'node:events'),
  node(10, 'write', 'node:internal/http2/core'),
  node(11, 'post', 'node:inspector', [12]),
  node(12, 'dispatch'),
];

/** A sample holds until the next one: what is told of the first is not. */
function profileOf(held: readonly (readonly [id: number, micros: number])[]): CpuProfile {
  return {
    nodes: NODES,
    samples: [...held.map(([id]) => id), 7],
    timeDeltas: [1_000, ...held.map(([, micros]) => micros)],
  };
}

const THREADS = { main: 80, pool: 30, v8: 10, profiler: 500 };
const sum = (parts: readonly { readonly ms: number }[]) => parts.reduce((total, { ms }) => total + ms, 0);
const byName = (profiled: Profiled) => Object.fromEntries(cpuPartsOf(profiled).map(({ name, ms }) => [name, ms]));

test('each part by what it is for: native calls count for their callers, idle time and the profiler for nobody', () => {
  const held = [2, 3, 4, 5, 6, 8, 9, 10].map((id) => [id, 1_000] as const);
  const profile = profileOf([...held, [7, 50_000], [12, 200_000]]);
  const parts = byName({ profile, threads: THREADS, pages: 10 });
  const expected = {
    'graphs, thread pool': 3,
    'gRPC and HTTP/2': 2,
    'protobuf messages': 2,
    'page rules and tokens': 2,
    'garbage collection, V8’s threads': 2,
    'native and kernel': 1,
  };
  expect(Object.keys(parts)).toEqual(Object.keys(expected));
  for (const [name, ms] of Object.entries(expected)) expect(parts[name]).toBeCloseTo(ms, 9);
});

const profiled = fc.record({
  profile: fc
    .array(fc.tuple(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 0, max: 5_000 })), { maxLength: 60 })
    .map(profileOf),
  threads: fc.record({ main: fc.nat(5_000), pool: fc.nat(5_000), v8: fc.nat(500), profiler: fc.nat(500) }),
  pages: fc.integer({ min: 1, max: 500 }),
});

test('whatever was sampled, parts and flames add up to the CPU of the process, without the profiler’s own', () => {
  fc.assert(
    fc.property(profiled, (one) => {
      const { main, pool, v8 } = one.threads;
      const whole = (main + pool + v8) / one.pages;
      expect(sum(cpuPartsOf(one))).toBeCloseTo(whole, 6);
      const flame = sum(flameOf(one, ROOT));
      expect(flame).toBeLessThanOrEqual(1.001 * whole + 1e-9);
      // Frames that nobody could see are left out.
      expect(flame).toBeGreaterThanOrEqual(0.97 * whole - 1e-9);
      for (const { name } of cpuPartsOf(one)) expect(CPU_PARTS).toContain(name);
    }),
    { seed: 3, numRuns: 300 },
  );
});

test('a flame is a tree of functions: files within the repository, and what is inside is no wider', () => {
  const frames = flameOf(
    {
      profile: profileOf([
        [4, 600],
        [2, 400],
        [3, 1_000],
      ]),
      threads: THREADS,
      pages: 10,
    },
    ROOT,
  );
  expect(frames.map(({ name, ms }) => [name, ms])).toEqual([
    ['onMessage', 8],
    ['threads of libuv’s pool', 3],
    ['V8’s own threads', 1],
  ]);
  const [outer] = frames as [FlameFrame];
  expect(outer).toMatchObject({
    where: '@grpc/grpc-js/build/src/server.js',
    part: 'gRPC and HTTP/2',
    inner: [{ name: 'toBinary', part: 'protobuf messages', ms: 6.4, inner: [{ name: 'encodeUtf8String', ms: 2.4 }] }],
  });
});
