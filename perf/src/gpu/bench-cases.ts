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
  readonly prefill: readonly string[];
}

/**
 * Everything of ours, with every kind of attention, captured where the device can and not; smaller batches for what a page needs. KV from the host and the gather
 * only at the whole batch.
 */
export function ownCases(
  { n, batch }: Pick<BenchShape, 'n' | 'batch'>,
  attentions: Attentions,
  canCapture: boolean,
): GpuCase[] {
  const captures = canCapture ? [true, false] : [false];
  const of = (timed: Timed, size: number, attention: string, captured: boolean, rows = 0): GpuCase => {
    return { system: 'onepass', timed, batch: size, rows, attention, captured };
  };
  return captures.flatMap((captured) => [
    of('gather', batch, 'none', captured),
    ...attentions.prefill.flatMap((attention) =>
      [...new Set([batch, 1])].map((size) => of('prefill', size, attention, captured, n)),
    ),
    ...attentions.rank.flatMap((attention) =>
      batchesUpTo(batch).flatMap((size) => [
        of('encode', size, attention, captured, n),
        ...APPENDS.filter((rows) => rows < n && (size === batch || rows === 1)).map((rows) =>
          of('append', size, attention, captured, rows),
        ),
        of('rank', size, attention, captured),
        of('recompute', size, attention, captured),
        ...(size === batch ? [of('rank_host_kv', size, attention, captured)] : []),
      ]),
    ),
  ]);
}

/** What PyTorch is asked for: the passes at the whole batch, at its best and without capture, and a page of one person. */
export function peerCases({ n, k, batch }: Pick<BenchShape, 'n' | 'k' | 'batch'>, peer: PeerDescription): PeerCase[] {
  const captures = peer.cuda === null ? [false] : [true, false];
  return captures.flatMap((graphs) =>
    [...new Set([batch, 1])].flatMap((size) =>
      (['encode', 'append', 'rank', 'recompute'] as const)
        .filter((kind) => size === batch || kind === 'rank')
        .map((kind) => ({
          ...{ kind, batch: size, n, k, rows: 1, ...PAGE, graphs },
          ...{ attention: peer.attention, compiled: peer.compiles },
        })),
    ),
  );
}
