import { readFileSync } from 'node:fs';
import { createEngine, type InferenceEngine } from '@onepass/inference';
import { loadRelease } from '@onepass/release';
import { DEFAULT_RELEASE, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QueryTower } from './query-tower.js';

interface TextVector {
  readonly text: string;
  readonly embedding: readonly number[] | null;
}

describe.each([SMOKE_RELEASE, DEFAULT_RELEASE])('the query tower of %s', (directory) => {
  let engine: InferenceEngine;
  let tower: QueryTower;
  /** Texts with a token. */
  let vectors: readonly TextVector[];
  beforeAll(async () => {
    const release = await loadRelease(directory);
    const { graphs, queryTokenizer, model } = release.manifest;
    engine = createEngine({ provider: 'cpu', inFlight: 2, threads: 1 });
    const graph = await engine.load(release.path(graphs.queryTower!));
    tower = new QueryTower(engine, graph, { tokenizer: queryTokenizer!, dimension: model.itemDimension });
    const { texts } = JSON.parse(readFileSync(release.path('vectors/tokenizer.json'), 'utf8'));
    vectors = (texts as TextVector[]).filter(({ embedding }) => embedding !== null);
  });
  afterAll(() => engine.close());

  const embed = async (texts: readonly string[]) => (await tower.embed(texts, {})).embeddings;

  test("gives training's embeddings, of texts of all lengths in one run and of each alone", async () => {
    const together = await embed(vectors.map(({ text }) => text));
    for (const { text, embedding } of vectors) {
      const alone = (await embed([text])).get(text)!;
      expect(Math.hypot(...alone)).toBeCloseTo(1, 4);
      alone.forEach((value, column) => {
        expect(Math.abs(value - embedding![column]!), text).toBeLessThanOrEqual(1e-4);
        expect(Math.abs(value - together.get(text)![column]!), text).toBeLessThanOrEqual(1e-4);
      });
    }
  });

  test('runs at the same time keep their texts apart', async () => {
    const [one, other] = await Promise.all([embed(['teal mug']), embed(['oak desk', 'quilt'])]);
    expect([one!.get('teal mug'), other!.get('quilt')]).toEqual([
      (await embed(['teal mug'])).get('teal mug'),
      (await embed(['oak desk', 'quilt'])).get('quilt'),
    ]);
    expect([...one!.keys(), ...other!.keys()]).toEqual(['teal mug', 'oak desk', 'quilt']);
  });

  test('a caller that has gone runs nothing', async () => {
    const signal = AbortSignal.abort();
    await expect(tower.embed(['teal mug'], { signal })).rejects.toMatchObject({ kind: 'cancelled' });
  });
});
