import type { Span } from '../report/findings.js';
import { codingWords, gapWords, leafWords } from './span-words.js';
import type { SpanNode, TracedSpan, Words } from './traced-span.js';

/** Shorter parts count with the next one: clocks of processes agree hardly better, and nobody could see them. */
export const SHORTEST_MS = 0.05;
/** Of waits and ways between threads, which should be short: that they are is worth telling. */
export const SHORTEST_WAIT_MS = 0.002;

/**
 * One trace as parts that follow each other: a span without others inside, or the time between two of them, each in the process where it
 * passes, from the begin of the root to its end. Of spans at the same time the earlier one counts.
 * @param trace of one call, whole
 * @param hopMs what it takes onto a thread of the pool and back, which a graph run's span contains
 */
export function partsOf(trace: readonly TracedSpan[], hopMs = 0): Span[] {
  const root = treeOf(trace);
  if (root === undefined) return [];
  const { startMs: begin, endMs: end } = root.span;
  const parts: Span[] = [];
  const take: Take = (words, { process }, from, to) => {
    const startMs = parts.at(-1)?.endMs ?? 0;
    const shortest = words.kind === 'hop' || words.kind === 'queue' ? SHORTEST_WAIT_MS : SHORTEST_MS;
    if (to - from >= shortest) parts.push({ ...words, process, startMs, endMs: to - begin });
  };
  divide(root, { from: begin, to: end }, { take, hopMs });
  const last = parts.pop();
  return last === undefined ? [] : [...parts, { ...last, endMs: end - begin }];
}

function treeOf(trace: readonly TracedSpan[]): SpanNode | undefined {
  const node = (span: TracedSpan, parent: SpanNode | undefined): SpanNode => {
    const inner: SpanNode[] = [];
    const made = { span, parent, inner };
    const children = trace.filter((other) => other.parentSpanId === span.spanId);
    inner.push(...children.sort((a, b) => a.startMs - b.startMs).map((child) => node(child, made)));
    return made;
  };
  const root = trace.find(({ parentSpanId }) => parentSpanId === '');
  return root && node(root, undefined);
}

type Take = (words: Words, span: TracedSpan, from: number, to: number) => void;
interface Cut {
  readonly take: Take;
  readonly hopMs: number;
}

function divide(node: SpanNode, { from, to }: { from: number; to: number }, cut: Cut): void {
  if (node.inner.length === 0) divideLeaf(node, { from, to }, cut);
  else divideAround(node, { from, to }, cut);
}

function divideAround(node: SpanNode, { from, to }: { from: number; to: number }, cut: Cut): void {
  const { span, inner } = node;
  let at = from;
  let before: SpanNode | undefined;
  for (const child of inner) {
    const begin = Math.min(to, Math.max(at, child.span.startMs));
    const end = Math.min(to, Math.max(begin, child.span.endMs));
    cut.take(gapWords(node, before, child), span, at, begin);
    divide(child, { from: begin, to: end }, cut);
    at = end;
    before = child;
  }
  cut.take(gapWords(node, before, undefined), span, at, to);
}

/** Of a graph run the way to its thread and back is told apart, before the run: when it really began nobody sees. */
function divideLeaf(node: SpanNode, { from, to }: { from: number; to: number }, { take, hopMs }: Cut): void {
  const { span } = node;
  const hop = span.name === 'inference_run' ? Math.min(hopMs, to - from) : 0;
  take({ name: 'to a thread and back', kind: 'hop' }, span, from, from + hop);
  take(codingWords(node) ?? leafWords(node), span, from + hop, to);
}
