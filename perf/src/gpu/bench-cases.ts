import type { GpuCase, Timed } from './gpu-case.js';
import { type BenchShape, batchesUpTo } from './options.js';
import type { PeerCase, PeerDescription } from './peer.js';

/** New rows of an append: a person who comes back, one with some actions, and one who was away. */
export const APPENDS = [1, 8, 32] as const;

/** One context row and one slate a person, as a page has them. */
export const PAGE = { contexts: 1, slates: 1 } as const;

/** Kinds of attention that graphs are there with. */
export interface Attentions {
  readonly rank: readonly string[];
  /** Of appends; whole pasts are encoded with what ranks too. */
  readonly encode: readonly string[];
  readonly prefill: readonly string[];
}

/** Cases that are prepared and measured together. */
export interface Stage {
  readonly name: string;
  readonly cases: readonly GpuCase[];
}

/**
 * Everything of ours, with every kind of attention, captured where the device can and not: first the whole batch's passes, which the figures with goals are of; then
 * what else is asked of it, and what a page of one person needs; then the batches between.
 */
export function stagesOf(
  { n, batch }: Pick<BenchShape, 'n' | 'batch'>,
  attentions: Attentions,
  canCapture: boolean,
): Stage[] {
  const captures = canCapture ? [true, false] : [false];
  const of = (timed: Timed, size: number, attention: string, captured: boolean, rows = 0): GpuCase => {
    return { system: 'onepass', timed, batch: size, rows, attention, captured };
  };
  const passes = (size: number, captured: boolean, withPrefill: boolean): GpuCase[] => [
    ...attentions.rank.flatMap((attention) => [
      of('rank', size, attention, captured),
      of('recompute', size, attention, captured),
      of('encode', size, attention, captured, n),
    ]),
    ...attentions.encode.map((attention) => of('append', size, attention, captured, 1)),
    ...(withPrefill ? attentions.prefill.map((attention) => of('prefill', size, attention, captured, n)) : []),
  ];
  const rest = (captured: boolean): GpuCase[] => [
    of('gather', batch, 'none', captured),
    ...attentions.rank.flatMap((attention) => [
      of('rank_host_kv', batch, attention, captured),
      ...APPENDS.filter((rows) => rows > 1 && rows < n).map((rows) => of('append', batch, attention, captured, rows)),
    ]),
  ];
  const between = batchesUpTo(batch).slice(1, -1);
  const stages = [
    { name: 'the whole batch', cases: captures.flatMap((captured) => passes(batch, captured, true)) },
    {
      name: 'more of it, and one person',
      cases: captures.flatMap((captured) => [...rest(captured), ...(batch > 1 ? passes(1, captured, true) : [])]),
    },
    {
      name: 'batches between',
      cases: between.flatMap((size) => captures.flatMap((captured) => passes(size, captured, false))),
    },
  ];
  return stages.filter(({ cases }) => cases.length > 0);
}

/**
 * What PyTorch is asked for: ranking first, which the goal is of; then the other passes at the whole batch and a page of one person, each at its best; and ranking
 * without capture.
 */
export function peerCases({ n, k, batch }: Pick<BenchShape, 'n' | 'k' | 'batch'>, peer: PeerDescription): PeerCase[] {
  const isCaptured = peer.cuda !== null;
  const of = (kind: PeerCase['kind'], size: number, graphs: boolean): PeerCase => ({
    ...{ kind, batch: size, n, k, rows: 1, ...PAGE, graphs },
    ...{ attention: peer.attention[0]!, compiled: peer.compiles },
  });
  return [
    ...(['rank', 'recompute', 'encode', 'append'] as const).map((kind) => of(kind, batch, isCaptured)),
    ...(batch > 1 ? [of('rank', 1, isCaptured)] : []),
    ...(isCaptured ? [of('rank', batch, false)] : []),
  ];
}
