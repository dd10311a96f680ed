import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  NO_SPAN,
  NO_TRACER,
  openTelemetry,
  parseTraceparent,
  type Span,
  silentLogger,
  type Telemetry,
  within,
} from './index.js';

const RECOMMEND = 'onepass.gateway.v1.RecommendationService/Recommend';
const ENCODE = 'onepass.encoder.v1.UserEncoderService/Encode';
const TRACE = 'ab'.repeat(16);
const PARENT = '12'.repeat(8);

/** A collector that keeps the bodies it is sent. */
let collector: Server;
let answer: number;
let bodies: Buffer[];
const opened: Telemetry[] = [];
beforeEach(async () => {
  answer = 200;
  bodies = [];
  collector = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    expect([request.url, request.headers['content-type']]).toEqual(['/base/v1/traces', 'application/x-protobuf']);
    bodies.push(Buffer.concat(chunks));
    response.writeHead(answer).end();
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((telemetry) => telemetry.close()));
  collector.closeAllConnections();
  collector.close();
});

async function open(traceRatio: number, more: object = {}): Promise<Telemetry> {
  const otlpEndpoint = new URL(`http://127.0.0.1:${(collector.address() as AddressInfo).port}/base`);
  const options = {
    role: 'gateway' as const,
    releaseId: 'r1',
    logger: silentLogger,
    metricsPort: 0,
    host: '127.0.0.1',
  };
  const telemetry = await openTelemetry({ ...options, otlpEndpoint, traceRatio, ...more });
  opened.push(telemetry);
  return telemetry;
}

const idsOf = (span: Span) => parseTraceparent(span.context?.traceparent ?? '');
const sdkIsLoaded = () =>
  Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('@opentelemetry/sdk-trace'));

test('off, nothing of the SDK is loaded; on, it is', async () => {
  const { tracer } = await open(1, { otlpEndpoint: undefined });
  expect(tracer).toBe(NO_TRACER);
  expect(sdkIsLoaded()).toBe(false);
  await open(1);
  expect(sdkIsLoaded()).toBe(true);
});

test('off, a caller’s context is passed on as it came, and log lines name it', () => {
  const traceparent = `00-${TRACE}-${PARENT}-01`;
  const span = NO_TRACER.server(RECOMMEND, traceparent, 'vendor=1');
  expect(span.context).toEqual({ traceparent, tracestate: 'vendor=1' });
  expect(span.child('encode').child(ENCODE, { kind: 'client' }).context).toEqual(span.context);
  expect(span.logFields).toEqual({ trace_id: TRACE, span_id: PARENT });
  expect(NO_TRACER.server(RECOMMEND, undefined, 'vendor=1')).toBe(NO_SPAN);
});

test.each([
  `ff-${TRACE}-${PARENT}-01`,
  `00-${'0'.repeat(32)}-${PARENT}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  `00-${TRACE}-${PARENT}-01-more`,
  `00-${TRACE}-${PARENT}`,
  'nonsense',
  '',
])('a traceparent that is none begins a trace anew: %s', async (traceparent) => {
  expect(parseTraceparent(traceparent)).toBeUndefined();
  expect(NO_TRACER.server(RECOMMEND, traceparent, undefined)).toBe(NO_SPAN);
});

test('a later version of the header is read, and passed on, as far as it is known', () => {
  const later = `01-${TRACE}-${PARENT}-03-${'more'.repeat(10_000)}`;
  expect(parseTraceparent(later)).toEqual({ traceId: TRACE, spanId: PARENT, flags: 3 });
  expect(NO_TRACER.server(RECOMMEND, later, undefined).context?.traceparent).toBe(`00-${TRACE}-${PARENT}-03`);
});

test.each([
  ['too long', `vendor=${'1'.repeat(506)}`],
  ['not what a header may hold', 'vendor=\n'],
])('a tracestate that is %s is not passed on', (_, tracestate) => {
  const context = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: undefined };
  expect(NO_TRACER.server(RECOMMEND, context.traceparent, tracestate).context).toEqual(context);
});

test('a sampled caller’s trace goes on, whatever the ratio, to the collector', async () => {
  const telemetry = await open(0);
  const server = telemetry.tracer.server(RECOMMEND, `00-${TRACE}-${PARENT}-01`, 'vendor=1');
  const stage = server.child('encode', { startMs: Date.now() - 5 });
  const client = stage.child(ENCODE, { kind: 'client' });
  expect(idsOf(client)).toMatchObject({ traceId: TRACE, flags: 1 });
  expect(client.context?.tracestate).toBe('vendor=1');
  expect(new Set([server, stage, client].map((span) => idsOf(span)?.spanId)).size).toBe(3);
  client.end('unavailable');
  stage.end();
  stage.end('internal');
  server.end();
  await telemetry.close();
  const sent = Buffer.concat(bodies);
  for (const text of [RECOMMEND, 'encode', ENCODE, 'unavailable', 'onepass-gateway', 'onepass.release.id']) {
    expect(sent.includes(text)).toBe(true);
  }
  expect(sent.includes('internal')).toBe(false);
  expect(sent.includes(Buffer.from(TRACE, 'hex'))).toBe(true);
  expect(telemetry.measurements.snapshot()).toMatchObject({
    'onepass.trace.spans{onepass.span.state="ended"}': 3,
    'onepass.trace.spans{onepass.span.state="exported"}': 3,
  });
});

test('what is not sampled stays so down the line, stages begin no trace, and nothing is sent', async () => {
  const telemetry = await open(1);
  const theirs = telemetry.tracer.server(RECOMMEND, `00-${TRACE}-${PARENT}-00`, 'vendor=1');
  expect(idsOf(theirs)).toMatchObject({ traceId: TRACE, flags: 0 });
  expect(theirs.context?.tracestate).toBe('vendor=1');
  const rare = await open(0);
  // Nobody knows of it, so nobody is told.
  const ours = rare.tracer.server(RECOMMEND, undefined, undefined);
  expect(ours.child('encode').context).toBeUndefined();
  const stage = await open(1, { role: 'ranking' });
  expect(stage.tracer.server(RECOMMEND, undefined, undefined).context).toBeUndefined();
  for (const span of [theirs, ours]) span.end();
  await Promise.all([telemetry, rare, stage].map((one) => one.close()));
  expect(bodies).toEqual([]);
});

test('work within a span makes one only where it is recorded, and fails as it would without', async () => {
  const telemetry = await open(0);
  const server = telemetry.tracer.server(RECOMMEND, `00-${TRACE}-${PARENT}-01`, undefined);
  const fails = () => {
    throw new Error('as itself');
  };
  expect(within(server, 'decode_message', () => 7)).toBe(7);
  expect(() => within(server, 'encode_message', fails)).toThrow('as itself');
  const child = () => {
    throw new Error('a span was made');
  };
  for (const span of [NO_SPAN, NO_TRACER.server(RECOMMEND, `00-${TRACE}-${PARENT}-01`, undefined)]) {
    expect(within(Object.assign(Object.create(span), { child }), 'decode_message', () => 7)).toBe(7);
  }
  server.end();
  await telemetry.close();
  expect(telemetry.measurements.snapshot()['onepass.trace.spans{onepass.span.state="ended"}']).toBe(3);
});

test('traces begun here are recorded in about the share that is set', async () => {
  const { tracer } = await open(0.25);
  const flags = Array.from({ length: 400 }, () => idsOf(tracer.server(RECOMMEND, undefined, undefined))?.flags ?? 0);
  const share = flags.reduce((sum, flag) => sum + flag, 0) / flags.length;
  expect(share).toBeGreaterThan(0.15);
  expect(share).toBeLessThan(0.35);
});

test('a collector that refuses is counted and said once, and holds nobody up', async () => {
  answer = 400;
  const warnings: string[] = [];
  const logger = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) };
  const telemetry = await open(1, { logger });
  for (let i = 0; i < 600; i++) telemetry.tracer.server(RECOMMEND, undefined, undefined).end();
  await telemetry.close();
  // Closing does not wait for further batches where one is refused.
  expect(telemetry.measurements.snapshot()['onepass.trace.spans{onepass.span.state="failed"}']).toBeGreaterThan(0);
  expect(warnings).toEqual(['spans could not be sent to the collector']);
});
