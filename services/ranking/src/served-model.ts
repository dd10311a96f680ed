import { type KvShape, kvShape } from '@onepass/kv';
import type { Manifest, Release, Vocabulary } from '@onepass/release';
import { type RowLayout, rowLayout } from '@onepass/tokens';

/** What ranking reads of a release. */
export interface ServedModel {
  readonly releaseId: string;
  readonly layout: RowLayout;
  readonly kvShape: KvShape;
  readonly model: Manifest['model'];
  readonly actions: Manifest['vocabulary']['actions'];
  readonly vocabulary: Pick<Vocabulary, 'actions' | 'surfaces' | 'requestFeatures'>;
}

export function servedModel({
  id,
  manifest,
  vocabulary,
}: Pick<Release, 'id' | 'manifest' | 'vocabulary'>): ServedModel {
  return {
    releaseId: id,
    layout: rowLayout(manifest),
    kvShape: kvShape(manifest.model),
    model: manifest.model,
    actions: manifest.vocabulary.actions,
    vocabulary,
  };
}
