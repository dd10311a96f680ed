import { seededRandom } from '@onepass/contracts';
import {
  type LoadKind,
  type Measurement,
  type PureCompute,
  type Shape,
  SYSTEMS,
  type SystemName,
} from '../measurements.js';
import { pureMsOf } from './compute.js';
import type { ReportFindings, RunIdentity } from './findings.js';
import { DEFAULT_SHAPE, MAIN_SHAPE, REUSE_SHAPE } from './goals.js';
import { numbersOf } from './numbers.js';

/** Made-up findings, to see pages and figures without measuring. Nothing of this is ever a report. */
export const RUN: RunIdentity = {
  machine: { cpu: 'TEST FIXTURE, no machine', cores: 2, memoryGiB: 24, kernel: '0.0', node: '20.20.2' },
  versions: { ghz: 'v0.120.0', 'ONNX Runtime': '1.30.0', Python: '3.11', faiss: '1.12' },
  settings: { threads: '1 a graph run', precision: 'fp32', 'seconds a load': '10', people: '64' },
  systems: {},
  releases: [
    { id: 'r-fixture0001', name: 'made-up-d256', synthetic: true },
    { id: 'r-fixture0002', name: 'made-up-default', synthetic: false },
  ],
};

const DATE = '2000-01-01';

export function measurement(
  system: SystemName,
  goodput: number,
  round: number,
  more: Partial<Omit<Measurement, 'system' | 'round'>> & { p50?: number } = {},
): Measurement {
  const { p50 = 1000 / goodput, ...rest } = more;
  const calls = Math.round(goodput * 10);
  return {
    key: '',
    date: DATE,
    round,
    system,
    shape: MAIN_SHAPE,
    load: { kind: 'closed', concurrency: 8 },
    seen: {
      seconds: 10,
      calls,
      good: calls,
      degraded: 0,
      errors: {},
      goodput,
      latencyMs: { p50, p90: 1.5 * p50, p99: 2.2 * p50, p999: undefined },
      senderCpu: 0.1,
      senderCores: undefined,
    },
    cpuMs: { gateway: 2, ranking: 6, 'user-encoder': 2, retrieval: 2 },
    residentMiB: { gateway: 200 },
    kv: { append: calls },
    kvMiB: 256,
    ...rest,
  };
}

/** Every finding that there can be, as a machine might have them. */
export function madeUpFindings(seed = 1): ReportFindings {
  const random = seededRandom(seed);
  const noise = () => 1 + 0.06 * (random() - 0.5);
  const pure = [MAIN_SHAPE, DEFAULT_SHAPE, REUSE_SHAPE].flatMap((shape) =>
    [1, 2, 3].map((round) => madeUpPure(shape, round, noise)),
  );
  const findings: ReportFindings = {
    ...RUN,
    release: RUN.releases[0]!,
    measurements: [...headline(noise), ...sweeps(noise)],
    pure,
    ...madeUpDetails(noise),
    numbers: {},
    partial: false,
    notes: [],
  };
  return { ...findings, numbers: numbersOf(findings) };
}

function madeUpPure(shape: Shape, round: number, noise: () => number): PureCompute {
  const token = (shape.layers * shape.width ** 2) / 6 / 256 ** 2;
  const rankOnKv = 0.08 * shape.k * token * noise();
  const encodeAll = 0.078 * shape.n * token * noise();
  return {
    round,
    shape,
    encodeAll,
    append: 0.5 + 0.5 * token,
    retrieveHead: 0.1,
    rankOnKv,
    rankFromScratch: (encodeAll + rankOnKv) * 0.98,
    search: 1.2,
  };
}

const hits: Readonly<Record<SystemName, number>> = { A: 1, B: 0, Bprime: 0.95, C: 0, D: 0.99, G: 0, Gkv: 1 };

/** Pages a second of two cores that share their time with all else of a page. */
function peak(system: SystemName, shape: Shape, noise: () => number, hit = hits[system]): number {
  const overhead = system === 'G' || system === 'Gkv' ? 9 : 7;
  return (
    (2 * 1000 * noise()) /
    (1.1 *
      pureMsOf(
        system,
        madeUpPure(shape, 1, () => 1),
        hit,
      ) +
      overhead)
  );
}

function headline(noise: () => number): Measurement[] {
  return [MAIN_SHAPE, DEFAULT_SHAPE].flatMap((shape) =>
    SYSTEMS.flatMap((system) =>
      [1, 2, 3].flatMap((round) =>
        [1, 2, 4, 8, 16].map((concurrency) => {
          const most = peak(system, shape, noise);
          const goodput = Math.min(most, (most / 2) * concurrency * 0.95) * (concurrency === 16 ? 0.98 : 1);
          const load: LoadKind = { kind: 'closed', concurrency };
          const compute = pureMsOf(
            system,
            madeUpPure(shape, 1, () => 1),
            hits[system],
          );
          const cpuMs = { gateway: 2.6, ranking: compute * 0.7 + 1, 'user-encoder': compute * 0.3 + 1, retrieval: 2.1 };
          const monolith = { monolith: compute + 5 };
          return measurement(system, goodput, round, {
            shape,
            load,
            p50: (1000 * concurrency) / goodput,
            cpuMs: system.startsWith('G') ? monolith : cpuMs,
          });
        }),
      ),
    ),
  );
}

function sweeps(noise: () => number): Measurement[] {
  const at = (
    sweep: NonNullable<Measurement['sweep']>,
    system: SystemName,
    goodput: number,
    more: Parameters<typeof measurement>[3] = {},
  ) => [1, 2, 3].map((round) => measurement(system, goodput * noise(), round, { sweep, ...more }));
  const three = ['A', 'B', 'C'] as const;
  const kv = (hit: number) => ({ append: Math.round(1000 * hit), recompute: Math.round(1000 * (1 - hit)) });
  return [
    ...[64, 128, 256, 512, 1024].flatMap((n) =>
      three.flatMap((system) => {
        const shape = { ...MAIN_SHAPE, n };
        return at({ name: 'history', value: n }, system, peak(system, shape, noise), { shape });
      }),
    ),
    ...[50, 100, 200, 400, 800].flatMap((k) =>
      three.flatMap((system) => {
        const shape = { ...MAIN_SHAPE, k };
        return at({ name: 'candidates', value: k }, system, peak(system, shape, noise), { shape });
      }),
    ),
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) =>
      (['A', 'B', 'Bprime'] as const).flatMap((system) =>
        at({ name: 'returning', value: share }, system, peak(system, MAIN_SHAPE, noise, share), { kv: kv(share) }),
      ),
    ),
    ...[1, 4, 16, 64].flatMap((value) =>
      (['A', 'D', 'B'] as const).flatMap((system) =>
        at(
          { name: 'actions', value },
          system,
          peak(system, MAIN_SHAPE, noise) / (system === 'B' ? 1 : 1 + value / 120),
        ),
      ),
    ),
    ...[64, 128, 256, 512, 1024].flatMap((value) =>
      (['A', 'Bprime'] as const).flatMap((system) => {
        const hit = Math.min(0.97, (system === 'A' ? 0.5 : 0.27) * (value / 256) ** 0.55);
        return at({ name: 'kv_memory', value }, system, peak(system, MAIN_SHAPE, noise, hit), {
          kv: kv(hit),
          kvMiB: value,
        });
      }),
    ),
    ...[5, 10, 15, 20, 25, 30, 40, 50].flatMap((qps) =>
      (['A', 'B'] as const).flatMap((system) => {
        const most = peak(system, MAIN_SHAPE, () => 1);
        const p50 = 60 / Math.max(0.08, 1 - qps / most);
        return at({ name: 'rate', value: qps }, system, qps > most ? most * 0.8 : qps, {
          load: { kind: 'open', qps },
          p50,
        });
      }),
    ),
    ...[1, 2].flatMap((value) =>
      at({ name: 'cells', value }, 'A', peak('A', MAIN_SHAPE, noise) * (value === 1 ? 1 : 1.04)),
    ),
  ];
}

function madeUpDetails(
  noise: () => number,
): Pick<ReportFindings, 'waterfalls' | 'cpu' | 'flames' | 'improvements' | 'gateway' | 'chain'> {
  const of = { date: DATE, shape: MAIN_SHAPE, system: 'A' as const };
  const span = (
    name: string,
    process: string,
    kind: ReportFindings['waterfalls'][number]['spans'][number]['kind'],
    startMs: number,
    endMs: number,
  ) => ({
    name,
    process,
    kind,
    startMs,
    endMs,
  });
  return {
    waterfalls: [
      {
        ...of,
        what: 'a warm request, one at a time',
        spans: [
          span('request at the client', 'client', 'other', 0, 39.2),
          span('decode the request', 'gateway', 'serialise', 0.4, 0.6),
          span('call the encoder', 'gateway', 'network', 0.7, 4.2),
          span('read the history tail', 'user-encoder', 'other', 1.2, 1.5),
          span('wait for a thread', 'user-encoder', 'queue', 1.5, 1.6),
          span('encode graph', 'user-encoder', 'compute', 1.6, 2.8),
          span('back to the event loop', 'user-encoder', 'hop', 2.8, 3.0),
          span('encode the answer', 'user-encoder', 'serialise', 3.0, 3.1),
          span('search', 'retrieval', 'compute', 4.6, 6.6),
          span('copy embeddings', 'gateway', 'copy', 6.9, 7.1),
          span('rank graph', 'ranking', 'compute', 7.4, 38.1),
          span('page rules', 'gateway', 'other', 38.3, 38.7),
          span('encode the page', 'gateway', 'serialise', 38.7, 39),
        ],
      },
    ],
    cpu: [
      {
        ...of,
        process: 'gateway',
        parts: [
          { name: 'gRPC and HTTP/2', ms: 0.9 },
          { name: 'protobuf messages', ms: 0.4 },
          { name: 'telemetry', ms: 0.5 },
          { name: 'page rules and tokens', ms: 0.3 },
          { name: 'garbage collection, V8’s threads', ms: 0.2 },
        ],
      },
      {
        ...of,
        process: 'ranking',
        parts: [
          { name: 'graphs, thread pool', ms: 31 },
          { name: 'gRPC and HTTP/2', ms: 0.6 },
          { name: 'other JavaScript', ms: 0.3 },
        ],
      },
    ],
    flames: [
      {
        ...of,
        process: 'gateway',
        frames: [
          {
            name: 'onReceiveHalfClose',
            where: '@grpc/grpc-js/build/src/server-interceptors.js',
            part: 'gRPC and HTTP/2',
            ms: 2,
            inner: [{ name: 'fromBinary', part: 'protobuf messages', ms: 0.7, inner: [] }],
          },
          { name: '(program)', part: 'native and kernel', ms: 0.5, inner: [] },
        ],
      },
    ],
    improvements: [
      {
        ...{ ...of, machine: 'made up', what: 'Searching two shards on one thread each' },
        ...{ unit: 'CPU-ms a page', before: 14.2, after: 12.1 },
      },
    ],
    gateway: [1, 2, 3].map((round) => ({ date: DATE, round, shape: MAIN_SHAPE, p50Ms: 1.2 * noise() })),
    chain: [1, 2, 3].map((round) => ({ date: DATE, round, shape: MAIN_SHAPE, cpuMs: 1.1 * noise() })),
  };
}
