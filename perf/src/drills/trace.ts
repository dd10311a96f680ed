import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { connect, fromTraceparent, user } from '@onepass/client';
import { PAGE } from '../page.js';
import { personId } from '../people.js';
import { OtlpReceiver, type ReceivedSpan } from '../telemetry/otlp-receiver.js';
import { missingFromWarmPage, traceProblems } from '../telemetry/trace-shape.js';
import type { Drill } from './drill.js';
import { startWarmMesh } from './warm-mesh.js';

const ROLES = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
const PEOPLE = 16;
const AT_ONCE = 4;
/** Processes send what they have within a second; this long nothing more may come before the traces are judged. */
const PATIENCE_MS = 20_000;

/** Every page traced, through all four processes. */
export const trace: Drill = {
  name: 'trace',
  says: 'traces every one of 1,000 pages: does each trace hold every span of the schema, and none that nothing leads to?',
  run: async ({ smoke, progress }) => {
    const receiver = await OtlpReceiver.listen();
    const settings = {
      ONEPASS_OTLP_ENDPOINT: receiver.endpoint,
      ONEPASS_TRACE_RATIO: '1',
      // A page that is late lacks spans by right, and how late pages are is not asked here.
      ONEPASS_BUDGET_MS: '10000',
    };
    progress(`starting a mesh, writing and warming ${PEOPLE} people`);
    const warm = await startWarmMesh(PEOPLE, Object.fromEntries(ROLES.map((role) => [role, settings]))).catch(
      (error) => {
        receiver.close();
        throw error;
      },
    );
    try {
      const calls = Array.from({ length: smoke ? 50 : 1_000 }, frontendCall);
      progress(`asking for ${calls.length} pages`);
      await askAll(warm.mesh.address('gateway'), calls);
      return await judge(receiver, calls, progress);
    } finally {
      await warm.stop();
      receiver.close();
    }
  },
};

interface FrontendCall {
  readonly traceId: string;
  readonly spanId: string;
}

function frontendCall(): FrontendCall {
  return { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex') };
}

async function askAll(address: string, calls: readonly FrontendCall[]): Promise<void> {
  const onepass = connect(address);
  const waiting = [...calls.entries()].values();
  const ask = async () => {
    for (const [i, { traceId, spanId }] of waiting) {
      const span = fromTraceparent(`00-${traceId}-${spanId}-01`);
      await onepass.recommend({ person: user(personId(i % PEOPLE)), ...PAGE }, { span });
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
  } finally {
    onepass.close();
  }
}

async function judge(
  receiver: OtlpReceiver,
  calls: readonly FrontendCall[],
  progress: (line: string) => void,
): Promise<Record<string, number>> {
  const until = Date.now() + PATIENCE_MS;
  let problems = problemsOf(receiver, calls);
  while (problems.some((ofOne) => ofOne.length > 0) && Date.now() < until) {
    await setTimeout(250);
    problems = problemsOf(receiver, calls);
  }
  for (const problem of new Set(problems.flat().slice(0, 5))) progress(problem);
  const traces = receiver.traces();
  const spans = calls.reduce((sum, { traceId }) => sum + (traces.get(traceId)?.length ?? 0), 0);
  return {
    trace_complete_share: problems.filter((ofOne) => ofOne.length === 0).length / calls.length,
    trace_spans_per_page: spans / calls.length,
  };
}

/** By call, what its trace lacks or has too much. */
function problemsOf(receiver: OtlpReceiver, calls: readonly FrontendCall[]): string[][] {
  const traces = receiver.traces();
  return calls.map(({ traceId, spanId }) => {
    const spans: readonly ReceivedSpan[] = traces.get(traceId) ?? [];
    return [...missingFromWarmPage(spans).map((edge) => `lacks ${edge}`), ...traceProblems(spans, spanId)];
  });
}
