/** Shape of a pass: of one person, who is batched with others without sharing anything with them. */
export interface PassShape {
  readonly layers: number;
  readonly width: number;
  /** Tokens of the past. */
  readonly n: number;
  /** Candidates of a slate. */
  readonly k: number;
  /** Context rows of a slate. */
  readonly contexts: number;
  readonly slates: number;
}

export type PassKind = 'encode' | 'append' | 'rank' | 'recompute';

/**
 * What of the past's triangle counts. `whole`: every row of the past times every key, as graphs without a causal kernel compute it. `half`: only the keys that a row
 * sees, which is what fused causal attention has to compute.
 */
export type Triangle = 'whole' | 'half';

/**
 * FLOPs of a pass of one person, a multiplication and its addition as two. A layer's are `24 t d^2 + 4 p d` for t rows that attend to p pairs of row and key in all: 24 d^2
 * a row are queries (2), keys and values (4), output (2) and the feed-forward part of four times the width (16); 4 d a pair are score and weighted sum. Norms, softmax,
 * input layer and head, each about 1% of it or less, are left out, in all passes alike.
 *
 * The last layer computes only what is read (docs/decisions/022-attention.md): of a past's rows keys and values, and of an encode's last one all, since its hidden state
 * is the answer.
 *
 * A slate's context row sees the past and the contexts up to itself, a candidate the past, the slate's contexts and itself: there is no k x k part.
 * @param rows of an append, behind n - rows tokens held
 */
export function passFlops(kind: PassKind, shape: PassShape, triangle: Triangle, rows = 1): number {
  const { layers, n } = shape;
  const ranked = layers * flopsOf(shape, slates(shape));
  if (kind === 'rank') return ranked;
  const before = past(kind === 'append' ? rows : n, n, triangle);
  const below = (layers - 1) * flopsOf(shape, before) + KEYS_AND_VALUES * before.tokens * shape.width ** 2;
  return kind === 'recompute' ? below + ranked : below + lastRow(shape);
}

/** Of d^2, a row. */
const [WHOLE_ROW, KEYS_AND_VALUES] = [24, 4];

interface Work {
  readonly tokens: number;
  readonly pairs: number;
}

/** Of a whole layer. */
const flopsOf = ({ width }: PassShape, { tokens, pairs }: Work) => WHOLE_ROW * tokens * width ** 2 + 4 * pairs * width;

/** In the last layer, beside its key and value: it sees all tokens. */
const lastRow = ({ width, n }: PassShape) => (WHOLE_ROW - KEYS_AND_VALUES) * width ** 2 + 4 * n * width;

/** The last `rows` of `n` tokens. */
const past = (rows: number, n: number, triangle: Triangle): Work => ({
  tokens: rows,
  pairs: triangle === 'whole' ? rows * n : rows * (n - rows) + (rows * (rows + 1)) / 2,
});

function slates({ n, k, contexts: c, slates: s }: PassShape): Work {
  return { tokens: s * (c + k), pairs: s * (c * n + (c * (c + 1)) / 2 + k * (n + c + 1)) };
}

/** By how much ranking on held KV has less to do than ranking with the whole past in the same pass. */
export const kvFlopRatio = (shape: PassShape, triangle: Triangle): number =>
  passFlops('recompute', shape, triangle) / passFlops('rank', shape, triangle);
