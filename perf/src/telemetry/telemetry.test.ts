import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, Degraded_Reason, fromTraceparent, type OnepassClient, user } from '@onepass/client';
import { connectTo, RankingService, RecommendationService, retrieval, UserEncoderService } from '@onepass/contracts';
import { freePorts, Mesh } from '@onepass/local';
import { METRICS, type MetricName, type MetricSpec, prometheusName, type Role } from '@onepass/telemetry';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ExposedFamily, parseExposition } from './exposition.suite.js';
import { OtlpReceiver, type ReceivedSpan } from './otlp-receiver.js';
import { missingFromWarmPage, traceProblems } from './trace-shape.js';

const ROLES: readonly Role[] = ['gateway', 'user-encoder', 'retrieval', 'ranking'];
const RECOMMEND = 'onepass.gateway.v1.RecommendationService/Recommend';
const LOG_ACTIONS = 'onepass.gateway.v1.EventService/LogActions';
const PERSON = `person-${randomBytes(12).toString('hex')}`;
const SECRET_EVENT = `event-${randomBytes(12).toString('hex')}`;

let receiver: OtlpReceiver;
let mesh: Mesh;
let onepass: OnepassClient;
let metricsPorts: Record<string, number>;
beforeAll(async () => {
  receiver = await OtlpReceiver.listen();
  const ports = await freePorts('127.0.0.1', ROLES.length);
  metricsPorts = Object.fromEntries(ROLES.map((role, i) => [role, ports[i] as number]));
  const overrides = Object.fromEntries(
    ROLES.map((role) => [
      role,
      {
        ONEPASS_OTLP_ENDPOINT: receiver.endpoint,
        ONEPASS_TRACE_RATIO: '0',
        ONEPASS_METRICS_PORT: String(metricsPorts[role]),
        // Long, since other tests take the processor; but one test waits for its end.
        ONEPASS_BUDGET_MS: '4000',
      },
    ]),
  );
  mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir: undefined, overrides });
  await mesh.start();
  onepass = connect(mesh.address('gateway'));
});
afterAll(async () => {
  onepass?.close();
  await mesh?.stop();
  receiver?.close();
});

/** A frontend's own span, as its tracing would make it: a trace of its own for every call. */
function frontendSpan() {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, options: { span: fromTraceparent(`00-${traceId}-${spanId}-01`) } };
}

/** The trace, once `lacks` says that nothing is missing: the four processes send what they have of it in their own time. */
async function traceOf(traceId: string, lacks: (trace: readonly ReceivedSpan[]) => string[]): Promise<ReceivedSpan[]> {
  const trace = () => receiver.traces().get(traceId) ?? [];
  await expect.poll(() => lacks(trace()), { timeout: 10_000 }).toEqual([]);
  return trace();
}

const named = (name: string) => (trace: readonly ReceivedSpan[]) =>
  trace.some((span) => span.name === name) ? [] : [name];

const log = (eventId: string, itemId: string, span = frontendSpan()) =>
  onepass.logActions(
    {
      person: user(PERSON),
      events: [{ eventId, itemId, actions: ['click'], surface: 'home', timeMs: BigInt(Date.now()) }],
    },
    span.options,
  );
const home = (more: object = {}, span = frontendSpan()) =>
  onepass.recommend({ person: user(PERSON), surface: 'home', pageSize: 5, ...more }, span.options);

async function scrape(role: string): Promise<ExposedFamily[]> {
  const response = await fetch(`http://127.0.0.1:${metricsPorts[role]}/metrics`);
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    expect.stringContaining('version=0.0.4'),
  ]);
  return parseExposition(await response.text());
}

test('one Recommend is one trace with every edge of the schema, from the frontend’s span on', async () => {
  const { items } = await home();
  await log('first', items[0]?.itemId ?? '');
  await home();
  const span = frontendSpan();
  const page = await home({}, span);
  expect(page.degraded).toEqual([]);
  const trace = await traceOf(span.traceId, missingFromWarmPage);
  expect(traceProblems(trace, span.spanId)).toEqual([]);
  const runs = trace
    .filter(({ name }) => name === 'inference_run')
    .map((s) => [s.service, s.attributes['onepass.graph']]);
  expect(runs.sort()).toEqual([
    ['onepass-ranking', 'rank'],
    ['onepass-user-encoder', 'encode'],
    ['onepass-user-encoder', 'retrieve_head'],
  ]);
  const root = trace.find(({ parentSpanId }) => parentSpanId === span.spanId);
  expect(root?.attributes).toMatchObject({
    'rpc.method': RECOMMEND,
    'rpc.response.status_code': 'OK',
    'onepass.surface': 'home',
    'onepass.kv.source': 'slot',
    'onepass.items': 5,
  });
  for (const { startNs, endNs } of trace) expect(endNs).toBeGreaterThanOrEqual(startNs);
});

test('the edges that only some requests have', async () => {
  const { items } = await home();
  const [logged, looked] = [frontendSpan(), frontendSpan()];
  await log(SECRET_EVENT, items[1]?.itemId ?? '', logged);
  const append = await traceOf(logged.traceId, named(LOG_ACTIONS));
  expect(traceProblems(append, logged.spanId)).toEqual([]);
  expect(named('append_history')(append)).toEqual([]);
  await onepass.recommend(
    { person: user(PERSON), surface: 'home', externalCandidates: [{ itemId: items[2]?.itemId ?? '' }] },
    looked.options,
  );
  const page = await traceOf(looked.traceId, missingFromWarmPage);
  expect(traceProblems(page, looked.spanId)).toEqual([]);
  expect(named('look_up')(page)).toEqual([]);
});

test('a call that fails ends its span with the kind of the error, and leaves a line that names the trace', async () => {
  const span = frontendSpan();
  await expect(home({ pageSize: 5_000 }, span)).rejects.toThrow('page_size');
  const root = (await traceOf(span.traceId, named(RECOMMEND))).find(({ name }) => name === RECOMMEND);
  expect(root?.attributes).toMatchObject({
    'error.type': 'invalid_argument',
    'rpc.response.status_code': 'INVALID_ARGUMENT',
  });
  const lines = (await readFile(join(mesh.logDir, 'gateway.log'), 'utf8')).split('\n').filter((line) => line !== '');
  const line = lines.map((text) => JSON.parse(text)).find(({ trace_id }) => trace_id === span.traceId);
  expect(line).toMatchObject({
    msg: 'call failed',
    kind: 'invalid_argument',
    fields: ['page_size'],
    method: RECOMMEND,
  });
});

test('a stage that is late: its spans end with that, and the page counts as degraded', async () => {
  const span = frontendSpan();
  const ranking = mesh.pids().ranking as number;
  process.kill(ranking, 'SIGSTOP');
  try {
    const page = await home({}, span);
    expect(page.degraded.map(({ reason }) => reason)).toEqual([Degraded_Reason.RANKING]);
  } finally {
    process.kill(ranking, 'SIGCONT');
  }
  const trace = await traceOf(span.traceId, named(RECOMMEND));
  const failed = trace.filter(({ attributes }) => attributes['error.type'] === 'deadline_exceeded');
  expect(failed.map(({ kind, name }) => `${kind} ${name}`)).toEqual(
    expect.arrayContaining(['internal rank', 'client onepass.ranking.v1.RankingService/Rank']),
  );
  expect(trace.find(({ name }) => name === RECOMMEND)?.attributes).toMatchObject({ 'onepass.degraded': 'ranking' });
  expect(await describe('gateway')).toMatchObject({
    'onepass.pages.degraded{onepass.degraded.reason="ranking"}': 1,
    'onepass.stage.failures{onepass.stage="rank",error.type="deadline_exceeded"}': 1,
  });
});

test('what is counted is what was called', async () => {
  const calls = async () => {
    const families = await scrape('gateway');
    const samples = families.find(({ name }) => name === 'rpc_server_call_duration_seconds')?.samples ?? [];
    const of = samples.filter(({ name, labels }) => name.endsWith('_count') && labels.rpc_method === RECOMMEND);
    return Object.fromEntries(of.map(({ labels, value }) => [labels.rpc_response_status_code, value]));
  };
  const before = await calls();
  await Promise.all(Array.from({ length: 20 }, () => home()));
  await Promise.allSettled(Array.from({ length: 5 }, () => home({ pageSize: -1 })));
  const after = await calls();
  expect((after.OK ?? 0) - (before.OK ?? 0)).toBe(20);
  expect((after.INVALID_ARGUMENT ?? 0) - (before.INVALID_ARGUMENT ?? 0)).toBe(5);
});

test.each(ROLES)('the metrics of %s are those of the schema, and Describe tells the same', async (role) => {
  const exposed = (await scrape(role)).filter(({ name }) => name !== 'target_info');
  const specs = Object.entries<MetricSpec>(METRICS).filter(([, { roles }]) => roles.includes(role));
  const byName = new Map(specs.map(([name, spec]) => [prometheusName(name, spec), spec]));
  for (const { name, type, samples } of exposed) {
    const spec = byName.get(name);
    expect([name, type]).toEqual([name, spec?.kind]);
    const attributes = Object.entries(spec?.attributes ?? {}).map(
      ([key, values]) => [key.replaceAll('.', '_'), values] as const,
    );
    for (const { labels } of samples) {
      const told = Object.keys(labels).filter((label) => label !== 'le');
      expect(told.sort()).toEqual(attributes.map(([key]) => key).sort());
      for (const [key, values] of attributes) expect(values).toContain(labels[key]);
    }
  }
  const told = new Set(exposed.map(({ name }) => name));
  const always = [...byName].filter(([, { when }]) => when === undefined).map(([name]) => name);
  expect(always.filter((name) => !told.has(name))).toEqual([]);
  const described = Object.keys(await describe(role)).map((entry) => {
    const name = metricOf(entry);
    return prometheusName(name, METRICS[name]);
  });
  expect(new Set(described)).toEqual(told);
});

test('nobody’s id is in a span, a metric, a log line or a file of logs', async () => {
  const span = frontendSpan();
  await home({}, span);
  await traceOf(span.traceId, missingFromWarmPage);
  const logs = await Promise.all((await readdir(mesh.logDir)).map((name) => readFile(join(mesh.logDir, name))));
  const metrics = await Promise.all(
    ROLES.map(async (role) => (await fetch(`http://127.0.0.1:${metricsPorts[role]}/metrics`)).text()),
  );
  const described = await Promise.all(ROLES.map(async (role) => JSON.stringify(await describe(role))));
  for (const told of [...receiver.bodies, ...logs, ...metrics, ...described]) {
    expect(told.includes(PERSON)).toBe(false);
    expect(told.includes(SECRET_EVENT)).toBe(false);
  }
  expect(receiver.bodies.length).toBeGreaterThan(0);
});

/** The name of the metric that an entry of Describe's map is of. */
function metricOf(entry: string): MetricName {
  const name = entry.replace(/\{.*$/, '');
  return (name in METRICS ? name : name.replace(/\.(count|sum)$/, '')) as MetricName;
}

async function describe(role: string): Promise<Record<string, number>> {
  const services = {
    gateway: RecommendationService,
    'user-encoder': UserEncoderService,
    retrieval: retrieval.RetrievalService,
    ranking: RankingService,
  };
  const connection = connectTo(mesh.address(role));
  try {
    const service = services[role as keyof typeof services] as typeof RecommendationService;
    return (await connection.client(service).describe({})).measurements;
  } finally {
    connection.close();
  }
}
