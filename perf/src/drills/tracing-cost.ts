import { freePorts } from '@onepass/local';
import { findGhz, runGhz } from '../ghz.js';
import { median } from '../statistics.js';
import { OtlpReceiver } from '../telemetry/otlp-receiver.js';
import type { Drill, DrillTerms } from './drill.js';
import { startWarmMesh, type WarmMesh } from './warm-mesh.js';

const METHOD = 'onepass.gateway.v1.RecommendationService/Recommend';
const ROLES = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
/** Saturates two cores and stays well within the time budget. */
const CONCURRENCY = 8;
const FULL = { people: 64, rounds: 11, seconds: 6, warmSeconds: 6 };
const SMOKE = { people: 4, rounds: 1, seconds: 1, warmSeconds: 1 };

/** Two meshes that differ in tracing alone, loaded in turn. */
export const tracingCost: Drill = {
  name: 'tracing-cost',
  says: 'loads a mesh that traces 1 % of its pages and one that traces none, in turn: how many pages does tracing cost?',
  run: async (terms) => {
    const receiver = await OtlpReceiver.listen();
    const size = terms.smoke ? SMOKE : FULL;
    const started: WarmMesh[] = [];
    try {
      const start = async (settings: Readonly<Record<string, string>>) => {
        terms.progress(`starting a mesh with ${JSON.stringify(settings)}, writing and warming ${size.people} people`);
        const mesh = await startWarmMesh(size.people, await withMetrics(settings));
        started.push(mesh);
        return mesh;
      };
      const off = await start({});
      const on = await start({ ONEPASS_OTLP_ENDPOINT: receiver.endpoint, ONEPASS_TRACE_RATIO: '0.01' });
      const numbers = await compare(off, on, size, terms);
      return { ...numbers, tracing_cost_spans: receiver.spans.length };
    } finally {
      await Promise.all(started.map((mesh) => mesh.stop()));
      receiver.close();
    }
  },
};

async function withMetrics(settings: Readonly<Record<string, string>>) {
  const ports = await freePorts('127.0.0.1', ROLES.length);
  return Object.fromEntries(
    ROLES.map((role, i) => [role, { ...settings, ONEPASS_METRICS_PORT: String(ports[i]) }] as const),
  );
}

/** Each round loads both, the first one last time going last: what drifts in the machine meets both alike. */
async function compare(off: WarmMesh, on: WarmMesh, size: typeof FULL, { progress }: DrillTerms) {
  const ghz = findGhz();
  const qps = async ({ mesh, requests, protoset }: WarmMesh, seconds: number) => {
    const shape = { concurrency: CONCURRENCY, connections: CONCURRENCY, seconds };
    const { calls, errors, qps } = await runGhz(ghz, {
      ...shape,
      address: mesh.address('gateway'),
      method: METHOD,
      requests,
      protoset,
    });
    const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
    return (qps * (calls - failed)) / calls;
  };
  for (const mesh of [off, on]) await qps(mesh, size.warmSeconds);
  const rounds: { off: number; on: number }[] = [];
  for (let round = 0; round < size.rounds; round += 1) {
    const first = await qps(round % 2 === 0 ? off : on, size.seconds);
    const second = await qps(round % 2 === 0 ? on : off, size.seconds);
    const both = round % 2 === 0 ? { off: first, on: second } : { off: second, on: first };
    progress(`round ${round + 1}: ${both.off.toFixed(1)} pages/s without, ${both.on.toFixed(1)} with tracing`);
    rounds.push(both);
  }
  return {
    tracing_cost: median(rounds.map((round) => 1 - round.on / round.off)),
    tracing_cost_off_qps: median(rounds.map((round) => round.off)),
    tracing_cost_on_qps: median(rounds.map((round) => round.on)),
  };
}
