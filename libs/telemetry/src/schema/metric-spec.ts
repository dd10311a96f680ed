import type { ErrorKind } from '@onepass/errors';
import { type Role, RPC_METHODS } from './methods.js';

export const ERROR_KINDS = [
  'invalid_argument',
  'kv_miss',
  'release_mismatch',
  'overloaded',
  'unavailable',
  'deadline_exceeded',
  'cancelled',
  'not_found',
  'unauthenticated',
  'permission_denied',
  'unimplemented',
  'startup',
  'internal',
] as const satisfies readonly ErrorKind[];

export const RPC = {
  'rpc.system.name': ['grpc'],
  'rpc.method': RPC_METHODS,
  'rpc.response.status_code': [
    'OK',
    'CANCELLED',
    'INVALID_ARGUMENT',
    'DEADLINE_EXCEEDED',
    'NOT_FOUND',
    'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
    'UNIMPLEMENTED',
    'INTERNAL',
    'UNAVAILABLE',
    'UNAUTHENTICATED',
  ],
} as const;
export const STAGE = { 'onepass.stage': ['encode', 'look_up', 'retrieve', 'rank', 'page'] } as const;
export const GROUP = { 'onepass.admission.group': ['pages', 'events', 'catalog', 'stage'] } as const;
export const PRIORITY = { 'onepass.priority': ['interactive', 'prefetch', 'batch'] } as const;
export const GRAPH = { 'onepass.graph': ['encode', 'retrieve_head', 'rank', 'query_tower'] } as const;

/** "unknown", and beside it the callers that the policy names: few, and none of them a person. */
export const CALLERS: readonly string[] = ['unknown'];

/** Bounds of a histogram's buckets, in seconds: from a fraction of a stage to the longest budget. */
export const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 10];

export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** UCUM, as OpenTelemetry writes it: `s`, `By`, `1` for a share, `{thing}` for a number of things. */
  readonly unit: string;
  readonly says: string;
  readonly roles: readonly Role[];
  /** By name, the values it may have. */
  readonly attributes: Readonly<Record<string, readonly string[]>>;
  /** Upper bounds of a histogram's buckets, rising. */
  readonly bounds?: readonly number[];
  /** Of a gauge or histogram: told only once this has happened; absent: from the start, or from the first request on. */
  readonly when?: string;
}
