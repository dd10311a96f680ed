import { connectTo, RecommendationService } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { freePorts } from '@onepass/local';
import { findGhz, type Load, runGhzCalls } from '../ghz.js';
import { percentile } from '../statistics.js';
import type { Drill, DrillTerms } from './drill.js';
import { startWarmMesh, type WarmMesh } from './warm-mesh.js';

const METHOD = 'onepass.gateway.v1.RecommendationService/Recommend';
const CONNECTIONS = 8;
const FLOOD = 3;
/** Fewer answers than this say nothing of a 99th percentile. */
const SAMPLES = 1_000;

interface Size {
  readonly people: number;
  readonly concurrencies: readonly number[];
  readonly searchSeconds: number;
  readonly rounds: number;
  readonly peakSeconds: number;
  readonly floodSeconds: number;
}
const FULL: Size = {
  people: 64,
  concurrencies: [4, 8, 12],
  searchSeconds: 6,
  rounds: 2,
  peakSeconds: 10,
  floodSeconds: 16,
};
const SMOKE: Size = {
  people: 4,
  concurrencies: [4],
  searchSeconds: 2,
  rounds: 1,
  peakSeconds: 2,
  floodSeconds: 3,
};

/** What one load yielded, as its client saw it. */
interface Yield {
  /** Whole pages a second: OK answers less the degraded ones. */
  readonly goodput: number;
  /** Of OK answers, in ms. */
  readonly answered: readonly number[];
  /** Of refusals, in ms. */
  readonly refused: readonly number[];
  readonly calls: number;
}

/** Three times the pages that a mesh can make, offered whether or not it answers. */
export const overload: Drill = {
  name: 'overload',
  says: 'offers three times the pages that the mesh can make: does it go on making them in time, and refuse the rest at once?',
  run: async (terms) => {
    const ghz = findGhz();
    const size = terms.smoke ? SMOKE : FULL;
    const [metricsPort = 0] = await freePorts('127.0.0.1', 1);
    terms.progress(`starting a mesh, writing and warming ${size.people} people`);
    const warm = await startWarmMesh(size.people, { gateway: { ONEPASS_METRICS_PORT: String(metricsPort) } });
    try {
      return await flood({ ghz, size, warm, metricsPort }, terms);
    } finally {
      await warm.stop();
    }
  },
};

interface Stage {
  readonly ghz: string;
  readonly size: Size;
  readonly warm: WarmMesh;
  readonly metricsPort: number;
}

async function flood(stage: Stage, { smoke, progress }: DrillTerms): Promise<Record<string, number>> {
  const { size } = stage;
  // The first thousands of calls pay for the code being compiled.
  await load(stage, { concurrency: 8, seconds: size.searchSeconds });
  const concurrency = await findPeak(stage, progress);
  const peaks: Yield[] = [];
  const floods: Yield[] = [];
  const refusalsBefore = await gatewayRefusals(stage);
  for (let round = 0; round < size.rounds; round += 1) {
    peaks.push(await load(stage, { concurrency, seconds: size.peakSeconds }));
    const rate = Math.ceil(FLOOD * peaks[round]!.goodput);
    floods.push(await load(stage, { concurrency: CONNECTIONS, seconds: size.floodSeconds, rate }));
    progress(`round ${round + 1}: ${describe(peaks[round]!)}; ${rate}/s offered: ${describe(floods[round]!)}`);
  }
  const [peak, flooded] = [together(peaks), together(floods)];
  const atGateway = minus(await gatewayRefusals(stage), refusalsBefore);
  if (!smoke) {
    needSamples('answers at the peak', peak.answered);
    needSamples('answers under the flood', flooded.answered);
    needSamples('refusals', flooded.refused);
  }
  return {
    overload_goodput_ratio: flooded.goodput / peak.goodput,
    overload_admitted_p99_ratio: percentile(flooded.answered, 0.99) / percentile(peak.answered, 0.99),
    // The client's figure is the promise: it holds the wait for a core, the event loop and the wire too.
    refused_within_ms: percentile(flooded.refused, 0.99),
    overload_refused_p50_ms: percentile(flooded.refused, 0.5),
    overload_refused_in_gateway_ms: bucketPercentile(atGateway, 0.99) * 1000,
    overload_peak_qps: peak.goodput,
    overload_peak_p99_ms: percentile(peak.answered, 0.99),
    overload_flood_qps: flooded.goodput,
    overload_flood_p99_ms: percentile(flooded.answered, 0.99),
    overload_offered_qps: flooded.calls / (size.rounds * size.floodSeconds),
  };
}

/** The closed loop that yields most. */
async function findPeak(stage: Stage, progress: (line: string) => void): Promise<number> {
  let best = { concurrency: 0, goodput: -1 };
  for (const concurrency of stage.size.concurrencies) {
    const seen = await load(stage, { concurrency, seconds: stage.size.searchSeconds });
    progress(`c=${concurrency}: ${describe(seen)}`);
    if (seen.goodput > best.goodput) best = { concurrency, goodput: seen.goodput };
  }
  return best.concurrency;
}

async function load({ ghz, warm }: Stage, shape: Pick<Load, 'concurrency' | 'seconds' | 'rate'>): Promise<Yield> {
  const { requests, protoset, mesh } = warm;
  const address = mesh.address('gateway');
  const before = await degradedPages(address);
  const connections = Math.min(shape.concurrency, CONNECTIONS);
  const calls = await runGhzCalls(ghz, { ...shape, address, method: METHOD, requests, protoset, connections });
  const of = (status: string) => calls.filter((call) => call.status === status).map(({ ms }) => ms);
  const answered = of('OK');
  const degraded = (await degradedPages(address)) - before;
  return {
    goodput: (answered.length - degraded) / shape.seconds,
    answered,
    refused: of('ResourceExhausted'),
    calls: calls.length,
  };
}

/** Reasons count, so a page with two of them counts twice: the yield is rather too low than too high. */
async function degradedPages(address: string): Promise<number> {
  const connection = connectTo(address);
  try {
    const { measurements } = await connection.client(RecommendationService).describe({});
    const counts = Object.entries(measurements).filter(([name]) => name.startsWith('onepass.pages.degraded{'));
    return counts.reduce((sum, [, count]) => sum + count, 0);
  } finally {
    connection.close();
  }
}

function together(parts: readonly Yield[]): Yield {
  return {
    goodput: parts.reduce((sum, { goodput }) => sum + goodput, 0) / parts.length,
    answered: parts.flatMap(({ answered }) => answered),
    refused: parts.flatMap(({ refused }) => refused),
    calls: parts.reduce((sum, { calls }) => sum + calls, 0),
  };
}

function describe({ goodput, answered, refused }: Yield): string {
  const p99 = percentile(answered, 0.99).toFixed(0);
  return `${goodput.toFixed(0)} whole pages/s, p99 ${p99} ms, ${refused.length} refused in ${percentile(refused, 0.99).toFixed(1)} ms`;
}

/** Refused Recommends by upper bound of how long each took the gateway, in seconds; each bucket holds the smaller ones too. */
type Buckets = ReadonlyMap<number, number>;

async function gatewayRefusals({ metricsPort }: Stage): Promise<Buckets> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const buckets = new Map<number, number>();
  for (const line of text.split('\n')) {
    if (!line.startsWith('rpc_server_call_duration_seconds_bucket{')) continue;
    if (!line.includes('/Recommend"') || !line.includes('"RESOURCE_EXHAUSTED"')) continue;
    const bound = /le="([^"]+)"/.exec(line)?.[1];
    if (bound !== undefined)
      buckets.set(bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(line.split(' ').at(-1)));
  }
  return buckets;
}

function minus(after: Buckets, before: Buckets): Buckets {
  return new Map([...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]));
}

/** Upper bound of the bucket in which the percentile lies: never too low. */
function bucketPercentile(buckets: Buckets, share: number): number {
  const total = Math.max(0, ...buckets.values());
  const bounds = [...buckets].sort(([a], [b]) => a - b);
  return bounds.find(([, count]) => total > 0 && count >= share * total)?.[0] ?? Number.NaN;
}

function needSamples(what: string, samples: readonly number[]): void {
  if (samples.length >= SAMPLES) return;
  throw startupError(`${samples.length} ${what} are too few for a 99th percentile, ${SAMPLES} are needed`);
}
