/** What the rows need of a release's manifest (docs/release.md). */
export interface TokenManifest {
  readonly model: { readonly itemDimension: number };
  readonly vocabulary: {
    readonly actions: readonly { readonly name: string }[];
    readonly surfaces: readonly string[];
    readonly requestFeatures: readonly string[];
  };
  readonly tokens: { readonly dailyPeriodsMs: readonly number[]; readonly deltaScale: number };
}

/**
 * The columns of one input row of float32 numbers: where each part begins, in the order of docs/release.md, "The input row".
 */
export interface RowLayout {
  /** E: the embedding lies in columns 0 .. E-1. */
  readonly itemDimension: number;
  /** A: number of actions. */
  readonly actions: number;
  /** S: number of surfaces. */
  readonly surfaces: number;
  readonly periodsMs: readonly number[];
  readonly deltaScale: number;
  readonly actionColumn: number;
  readonly maskColumn: number;
  readonly surfaceColumn: number;
  /** sin and cos for each period, then the time since the previous token, then whether there is one. */
  readonly timeColumn: number;
  /** One-hot: past action, past query, context, candidate. */
  readonly kindColumn: number;
  /** R features of requests, by name, in the order of their columns. */
  readonly requestFeatures: readonly string[];
  /** R values, then R flags that say which were given: zeros but in context rows. */
  readonly requestFeatureColumn: number;
  /** F: length of a row. */
  readonly features: number;
}

export const KIND = { pastAction: 0, pastQuery: 1, context: 2, candidate: 3 } as const;

const KINDS = Object.keys(KIND).length;

export function rowLayout(manifest: TokenManifest): RowLayout {
  const itemDimension = manifest.model.itemDimension;
  const actions = manifest.vocabulary.actions.length;
  const surfaces = manifest.vocabulary.surfaces.length;
  const periodsMs = manifest.tokens.dailyPeriodsMs;
  const actionColumn = itemDimension;
  const maskColumn = actionColumn + actions;
  const surfaceColumn = maskColumn + 1;
  const timeColumn = surfaceColumn + surfaces;
  const kindColumn = timeColumn + 2 * periodsMs.length + 2;
  const requestFeatures = manifest.vocabulary.requestFeatures;
  const requestFeatureColumn = kindColumn + KINDS;
  return {
    itemDimension,
    actions,
    surfaces,
    periodsMs,
    deltaScale: manifest.tokens.deltaScale,
    actionColumn,
    maskColumn,
    surfaceColumn,
    timeColumn,
    kindColumn,
    requestFeatures,
    requestFeatureColumn,
    features: requestFeatureColumn + 2 * requestFeatures.length,
  };
}
