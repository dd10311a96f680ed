import {
  CALLED_FROM,
  RECOMMEND_SPAN,
  RPC_METHODS,
  RPC_SPAN,
  type RpcMethod,
  SPANS,
  type SpanName,
  type SpanSpec,
} from '@onepass/telemetry';
import type { AttributeValue, ReceivedSpan } from './otlp-receiver.js';

const RECOMMEND = 'onepass.gateway.v1.RecommendationService/Recommend';
const SPECS: Readonly<Record<string, SpanSpec>> = SPANS;

/**
 * What is wrong with one trace by the telemetry schema: a span that nothing leads to, one inside the wrong one, a name or an attribute that
 * the schema does not have. Empty when all is well.
 * @param outside id of the frontend's own span; absent = the trace was begun by the gateway
 */
export function traceProblems(trace: readonly ReceivedSpan[], outside = ''): string[] {
  const byId = new Map(trace.map((span) => [span.spanId, span]));
  return trace.flatMap((span) => {
    const parent = byId.get(span.parentSpanId);
    const problems = attributeProblems(span);
    if (parent === undefined) {
      const isRoot = span.kind === 'server' && span.parentSpanId === outside;
      return isRoot ? problems : [...problems, `${span.name} of ${span.service} is inside a span that never came`];
    }
    if (!mayBeInside(span, parent)) problems.push(`${span.kind} ${span.name} is inside ${parent.kind} ${parent.name}`);
    return problems;
  });
}

function mayBeInside(span: ReceivedSpan, parent: ReceivedSpan): boolean {
  if (span.kind === 'server') return parent.kind === 'client' && parent.name === span.name;
  const parents: readonly string[] | undefined =
    span.kind === 'client' ? CALLED_FROM[span.name as RpcMethod] : SPECS[span.name]?.parents;
  // Messages are coded on both sides of a call; all else that is inside a client's span is the call's server.
  const mayBeClient = span.name === 'encode_message' || span.name === 'decode_message';
  return (mayBeClient || parent.kind !== 'client') && (parents?.includes(parent.name) ?? false);
}

function attributeProblems(span: ReceivedSpan): string[] {
  const known = attributesOf(span);
  if (known === undefined) return [`the schema has no ${span.kind} span ${span.name}`];
  return Object.entries(span.attributes).flatMap(([name, value]) => {
    const type = name === 'error.type' ? 'string' : known[name];
    if (type === undefined) return [`the schema has no attribute ${name} of ${span.name}`];
    return isOf(type, value) ? [] : [`${name} of ${span.name} is ${value}, not of type ${type}`];
  });
}

function attributesOf({ kind, name }: ReceivedSpan): Readonly<Record<string, string>> | undefined {
  if (kind === 'internal') return SPECS[name]?.attributes;
  if (!RPC_METHODS.includes(name as RpcMethod)) return undefined;
  return kind === 'server' && name === RECOMMEND ? { ...RPC_SPAN, ...RECOMMEND_SPAN } : RPC_SPAN;
}

function isOf(type: string, value: AttributeValue): boolean {
  if (type === 'int') return Number.isInteger(value);
  return typeof value === (type === 'double' ? 'number' : type);
}

/** Spans inside spans that a whole page of a person whose KV is held must show, by the schema: `child < parent`, server spans as `server`. */
export const WARM_PAGE: readonly string[] = warmPage();

function warmPage(): string[] {
  const always = (name: string) => SPECS[name]?.when === undefined;
  const called = Object.entries(CALLED_FROM).filter(([, parents]) => parents.some((p) => p in SPECS && always(p)));
  const servers = new Set([RECOMMEND, ...called.map(([method]) => method)]);
  return [
    ...called.flatMap(([method, parents]) => [
      ...parents.filter((parent) => parent in SPECS && always(parent)).map((parent) => `client ${method} < ${parent}`),
      `server ${method} < ${method}`,
    ]),
    ...(Object.keys(SPANS) as SpanName[])
      .filter(always)
      .flatMap((name) =>
        SPECS[name]!.parents.filter((parent) => servers.has(parent)).map((parent) => `internal ${name} < ${parent}`),
      ),
  ];
}

/** Those of them that a trace lacks. */
export function missingFromWarmPage(trace: readonly ReceivedSpan[]): string[] {
  const byId = new Map(trace.map((span) => [span.spanId, span]));
  const seen = new Set(
    trace.map(({ kind, name, parentSpanId }) => `${kind} ${name} < ${byId.get(parentSpanId)?.name ?? ''}`),
  );
  return WARM_PAGE.filter((edge) => !seen.has(edge));
}
