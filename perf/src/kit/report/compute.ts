import { median } from '../../statistics.js';
import type { PureCompute, Shape, SystemName } from '../measurements.js';

/**
 * What the graphs of one page cost in a system, in ms, when everything around them is free. With h = `hit`, the share of pages whose
 * person's KV is held:
 *
 *     once = h * append + (1 - h) * encodeAll
 *     A, D, Gkv   once + rankOnKv             one model, KV kept from request to request
 *     C, G        encodeAll + rankOnKv        one model, KV kept from stage to stage alone
 *     B           2 encodeAll + rankOnKv      two models, nothing kept; the ranking model's own pass is encodeAll + rankOnKv
 *     B'          2 once + rankOnKv           two models, each with its own KV
 *
 * The retrieval head and the search are left out: every system pays them alike, and with them in it a ceiling would be lower and easier
 * to come near to.
 */
export function pureMsOf(system: SystemName, pure: PureCompute, hit = 1): number {
  const { encodeAll, append, rankOnKv } = pure;
  const once = hit * append + (1 - hit) * encodeAll;
  switch (system) {
    case 'A':
    case 'D':
    case 'Gkv':
      return once + rankOnKv;
    case 'C':
    case 'G':
      return encodeAll + rankOnKv;
    case 'B':
      return 2 * encodeAll + rankOnKv;
    case 'Bprime':
      return 2 * once + rankOnKv;
  }
}

/** How often the faster system could answer for once of the slower, were there nothing but graphs: the median over `pure`'s rounds. */
export function ceilingOf(
  pure: readonly PureCompute[],
  over: { readonly system: SystemName; readonly hit?: number },
  under: { readonly system: SystemName; readonly hit?: number },
): number {
  return median(pure.map((p) => pureMsOf(under.system, p, under.hit) / pureMsOf(over.system, p, over.hit)));
}

/**
 * Multiplications and additions of a pass over `tokens` rows that each attend to `keys` rows, as the graphs run it. A layer of width d
 * costs a token 24 d^2 (queries, keys, values and output 8 d^2, the feed-forward part of width 4 d 16 d^2), and each pair of a token and
 * a key 4 d (score and sum).
 */
export function flops({ layers, width }: Shape, tokens: number, keys: number): number {
  return layers * (24 * tokens * width ** 2 + 4 * tokens * keys * width);
}

/**
 * FLOPs of one ranking pass over history, context row and candidates with nothing held, to those of the same pass on held KV:
 *
 *     scratch = flops(n + 1 + k tokens, n + 2 keys)    every row over past, context and itself
 *     kv      = flops(1 + k tokens, n + 2 keys)
 *
 * so that it is (n + 1 + k) / (1 + k), the ratio of tokens. The graph masks the later half of the n x n part but computes it, so all of
 * it counts; to count half would make reuse look better.
 */
export function flopRatio(shape: Shape): number {
  const { n, k } = shape;
  return flops(shape, n + 1 + k, n + 2) / flops(shape, 1 + k, n + 2);
}

/** Seen speed-up of a ranking pass by held KV, to what its FLOPs promise. */
export function reuseEfficiency(pure: PureCompute): number {
  return pure.rankFromScratch / pure.rankOnKv / flopRatio(pure.shape);
}
