import type { CpuPart } from '../report/findings.js';
import type { ProfileNode } from './cpu-profile.js';

/**
 * What code is there for, by its file; the first that fits. Code of Node's own counts for HTTP/2 where it moves bytes, and else for whoever
 * called it, as native functions do.
 */
const FILES: readonly (readonly [CpuPart, RegExp])[] = [
  ['protobuf messages', /@bufbuild\/protobuf|libs\/contracts\/(dist|src)\/(gen|columns)/],
  // What it takes to start a run and to hear of its end.
  ['graphs, thread pool', /libs\/inference\//],
  ['search', /libs\/vectors\/|\/usearch\/|services\/retrieval\//],
  [
    'tokens and history',
    /libs\/(tokens|history|kv|shared-memory)\/|\/lmdb\/|\/msgpackr\/|\/koffi\/|services\/user-encoder\//,
  ],
  ['page rules and tokens', /libs\/(pages|client|embeddings|routing)\/|services\/gateway\//],
  ['telemetry', /libs\/telemetry\/|@opentelemetry\/|\/pino\/|\/sonic-boom\//],
  [
    'gRPC and HTTP/2',
    /@grpc\/grpc-js|libs\/(contracts|admission|security)\/|^node:(internal\/)?(http2|net$|tls|streams?|_stream|js_stream)/,
  ],
  ['garbage collection, V8’s threads', /^\(garbage collector\)$/],
  ['native and kernel', /^\(program\)$/],
];

/** By a function's file, or of one without a file by its name; undefined: whatever its caller is for. */
export function partOfCall({ callFrame: { url, functionName } }: ProfileNode): CpuPart | undefined {
  const where = url || functionName;
  const known = FILES.find(([, pattern]) => pattern.test(where))?.[0];
  if (known !== undefined || url === '' || url.startsWith('node:')) return known;
  return 'other JavaScript';
}

/** `node` and its callers, the innermost first: what its time is for. */
export function partOfStack(stack: Iterable<ProfileNode>): CpuPart {
  for (const node of stack) {
    const part = partOfCall(node);
    if (part !== undefined) return part;
  }
  return 'other JavaScript';
}
