import type { SpanNode, Words } from './traced-span.js';

/** Spans without others inside, by name. */
const LEAVES: Readonly<Record<string, Words>> = {
  person_queue: { name: 'wait for the person’s turn', kind: 'queue' },
  restore_kv: { name: 'KV from the warm tier', kind: 'copy' },
  allocate_slot: { name: 'wait for a KV slot', kind: 'queue' },
  inference_queue: { name: 'wait for a graph’s turn', kind: 'queue' },
  read_history: { name: 'read what is new of the history', kind: 'other' },
  search_shard: { name: 'search a shard', kind: 'compute' },
  merge: { name: 'merge what was found', kind: 'compute' },
  check_kv: { name: 'find and check the KV', kind: 'other' },
  page: { name: 'make the page', kind: 'other' },
};

/** Time between two spans of a process: what its code does there, by the span around it and the one before or behind. */
const GAPS: readonly { readonly within: RegExp; readonly before?: RegExp; readonly next?: RegExp; words: Words }[] = [
  gap('Rank$', 'decode_message', undefined, 'read candidates out of the request', 'copy'),
  gap('Rank$', 'check_kv', undefined, 'hand KV and candidates to the graph', 'copy'),
  gap('Rank$', 'inference_run', undefined, 'weigh probabilities to utilities', 'other'),
  gap('Search$', 'decode_message', undefined, 'read queries and what is refused', 'copy'),
  gap('Search$', 'search_shard', 'merge', 'gather what the shards found', 'other'),
  gap('Search$', undefined, 'encode_message', 'gather candidates and embeddings', 'copy'),
  gap('Encode$', 'decode_message', undefined, 'check the request', 'other'),
  gap('Encode$', 'person_queue', undefined, 'take the person’s turn', 'other'),
  gap('Encode$', 'inference_run', 'encode_message', 'copy query embeddings out', 'copy'),
  gap('Encode$', 'inference_run', undefined, 'settle the KV slot', 'other'),
  gap('Encode$', undefined, 'inference_queue', 'fill the graph’s inputs', 'copy'),
  gap('Recommend$', 'decode_message', undefined, 'check and plan the request', 'other'),
  gap('^request$', undefined, undefined, 'the client’s own code', 'other'),
  gap('Recommend$', '^encode$', undefined, 'between encoding and retrieval', 'other'),
  gap('Recommend$', '^retrieve$', undefined, 'between retrieval and ranking', 'other'),
  gap('Recommend$', '^rank$', undefined, 'between ranking and page', 'other'),
  gap('Recommend$', undefined, 'encode_message', 'sign and record the page', 'other'),
  gap('Recommend$', '^page$', undefined, 'sign and record the page', 'other'),
  gap('^(encode|retrieve|rank)$', undefined, '/', 'make the request', 'other'),
  gap('^rank$', '/', undefined, 'read the scores', 'other'),
  gap('^retrieve$', '/', undefined, 'read the candidates', 'copy'),
  gap('^encode$', '/', undefined, 'read the embeddings', 'other'),
];

function gap(
  within: string,
  before: string | undefined,
  next: string | undefined,
  name: string,
  kind: Words['kind'],
): (typeof GAPS)[number] {
  return {
    within: new RegExp(within),
    ...(before !== undefined && { before: new RegExp(before) }),
    ...(next !== undefined && { next: new RegExp(next) }),
    words: { name, kind },
  };
}

/** Of a message that is written or read; undefined of any other span. */
export function codingWords({ span, parent }: SpanNode): Words | undefined {
  const written = span.name === 'encode_message';
  if (parent === undefined || (!written && span.name !== 'decode_message')) return undefined;
  const message = written === (parent.span.kind === 'client') ? 'request' : 'answer';
  const peer = peerOf(parent);
  const told = peer === undefined ? '' : written ? ` to ${peer}` : ` of ${peer}`;
  return { name: `${written ? 'write' : 'read'} the ${message}${told}`, kind: 'serialise' };
}

export function leafWords({ span }: SpanNode): Words {
  const { name, graph } = span;
  if (name === 'inference_run') return { name: `run the ${GRAPHS[graph ?? ''] ?? 'graph'}`, kind: 'compute' };
  return LEAVES[name] ?? { name: name.replaceAll('_', ' '), kind: span.kind === 'client' ? 'network' : 'other' };
}

const GRAPHS: Readonly<Record<string, string>> = {
  encode: 'encode graph',
  retrieve_head: 'retrieval head',
  rank: 'rank graph',
  query_tower: 'query tower',
};

/** What passes within `around`, after `before` and until `next`. */
export function gapWords(around: SpanNode, before: SpanNode | undefined, next: SpanNode | undefined): Words {
  const { span } = around;
  if (span.kind === 'client') return wayWords(around, before, next);
  if (span.kind === 'server' && before === undefined) return { name: 'let the call in', kind: 'other' };
  if (span.kind === 'server' && next === undefined && before?.span.name === 'encode_message') {
    return { name: 'hand the answer to HTTP/2', kind: 'network' };
  }
  const fits = (pattern: RegExp | undefined, node: SpanNode | undefined) =>
    pattern === undefined || (node !== undefined && pattern.test(node.span.name));
  const known = GAPS.find((one) => one.within.test(span.name) && fits(one.before, before) && fits(one.next, next));
  return known?.words ?? { name: 'between two steps', kind: 'other' };
}

/** Between a client and its server: sockets, HTTP/2 and gRPC of both, and the wait for the event loop of who receives. */
function wayWords(call: SpanNode, before: SpanNode | undefined, next: SpanNode | undefined): Words {
  const server = peerOf(call) ?? 'the server';
  if (next?.span.kind === 'server') return { name: `request on its way to ${server}`, kind: 'network' };
  if (before?.span.kind === 'server') return { name: `answer on its way from ${server}`, kind: 'network' };
  return { name: 'begin or end of the call', kind: 'other' };
}

/** Whom a client's span calls. */
function peerOf({ span, inner }: SpanNode): string | undefined {
  return span.kind === 'client' ? inner.find((node) => node.span.kind === 'server')?.span.process : undefined;
}
