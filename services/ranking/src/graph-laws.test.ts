import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEngine, type Graph, type InferenceEngine, type Tensor } from '@onepass/inference';
import { type Items, loadRelease, type Manifest, openItems, type Release } from '@onepass/release';
import { DEFAULT_RELEASE, SMOKE_RELEASE } from '@onepass/testing';
import { candidateRow, contextRows, rowLayout } from '@onepass/tokens';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

interface VectorHistory {
  readonly name: string;
  readonly rows: readonly (readonly number[])[];
  readonly requests: readonly {
    readonly contextRow: readonly number[];
    readonly candidateRow: readonly number[];
    readonly candidates: readonly string[];
    readonly probabilities: readonly (readonly number[])[];
  }[];
}

/** Keys and values of all layers, [length, width] each. */
interface Kv {
  readonly length: number;
  readonly keys: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/** "Equal" of docs/release.md; of keys and values relative to the largest of them, but at least to 1. */
const EQUAL = 1e-4;
/** By precision: how far probabilities may be from training's, which are fp32's. int8 may serve within that. */
const FROM_TRAINING: Readonly<Record<Precision, number>> = { fp32: EQUAL, fp16: 1e-2, int8: 0.05 };

type Precision = Manifest['model']['precision'];
type Graphs = Pick<Manifest['graphs'], 'encode' | 'rank'>;

/** Every precision that a release has graphs of. */
function exported(directory: string): [directory: string, precision: Precision, graphs: Graphs][] {
  const { model, graphs, precisions }: Manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8'));
  const all = precisions ?? { [model.precision]: { graphs } };
  return (Object.keys(all) as Precision[]).map((precision) => [directory, precision, all[precision]!.graphs]);
}

const tensor = (data: Float32Array, ...shape: number[]): Tensor => ({ data, shape });
const joined = (a: Float32Array, b: Float32Array) => Float32Array.from([...a, ...b]);

function expectEqual(actual: Float32Array, expected: Float32Array, tolerance = EQUAL): void {
  expect(actual.length).toBe(expected.length);
  const worst = actual.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(worst).toBeLessThanOrEqual(tolerance * largest);
}

const everyGraph = [SMOKE_RELEASE, DEFAULT_RELEASE].flatMap(exported);

describe.each(everyGraph)('the graphs of %s in %s', (directory, precision, graphs) => {
  let engine: InferenceEngine;
  let release: Release;
  let items: Items;
  let encodeGraph: Graph;
  let rankGraph: Graph;
  let histories: readonly VectorHistory[];
  beforeAll(async () => {
    engine = createEngine({ provider: 'cpu', inFlight: 1, threads: 1 });
    release = await loadRelease(directory);
    items = await openItems(release);
    encodeGraph = await engine.load(release.path(graphs.encode));
    rankGraph = await engine.load(release.path(graphs.rank));
    histories = JSON.parse(readFileSync(release.path('vectors/tokens.json'), 'utf8')).histories;
  });
  afterAll(() => engine.close());

  const nothing = (): Kv => {
    const none = Array.from({ length: release.manifest.model.layers }, () => new Float32Array(0));
    return { length: 0, keys: none, values: none };
  };

  const pastTensors = (past: Kv) => {
    const { width } = release.manifest.model;
    const byName = (name: string, parts: readonly Float32Array[]) =>
      parts.map((data, layer) => [`${name}_${layer}`, tensor(data, past.length, width)]);
    return Object.fromEntries([...byName('past_key', past.keys), ...byName('past_value', past.values)]);
  };

  /** What `rows` leave behind, after `past`. */
  async function encode(rows: readonly (readonly number[])[], past: Kv = nothing()): Promise<Kv> {
    const { width, layers } = release.manifest.model;
    const n = rows.length;
    const blank = () => Array.from({ length: layers }, () => new Float32Array(n * width));
    const [keys, values] = [blank(), blank()];
    await encodeGraph.run(
      {
        rows: tensor(Float32Array.from(rows.flat()), n, rows[0]!.length),
        positions: tensor(
          Float32Array.from(rows, (_, i) => past.length + i),
          n,
        ),
        ...pastTensors(past),
      },
      {
        hidden: tensor(new Float32Array(n * width), n, width),
        ...Object.fromEntries(keys.map((data, layer) => [`key_${layer}`, tensor(data, n, width)])),
        ...Object.fromEntries(values.map((data, layer) => [`value_${layer}`, tensor(data, n, width)])),
      },
    );
    return {
      length: past.length + n,
      keys: keys.map((data, layer) => joined(past.keys[layer]!, data)),
      values: values.map((data, layer) => joined(past.values[layer]!, data)),
    };
  }

  type Request = Pick<VectorHistory['requests'][number], 'contextRow' | 'candidateRow' | 'candidates'>;

  /** [k x A] */
  async function rank(request: Request, past: Kv): Promise<Float32Array> {
    const { candidates, contextRow } = request;
    const embeddings = candidates.flatMap((id) => [...items.embedding(items.rowOf(id)!)]);
    const probabilities = new Float32Array(candidates.length * release.vocabulary.actions.size);
    await rankGraph.run(
      {
        context: tensor(Float32Array.from(contextRow), 1, contextRow.length),
        context_positions: tensor(Float32Array.of(past.length), 1),
        candidates: tensor(Float32Array.from(embeddings), candidates.length, items.dimension),
        candidate_row: tensor(Float32Array.from(request.candidateRow), 1, request.candidateRow.length),
        candidate_position: tensor(Float32Array.of(past.length + 1), 1),
        ...pastTensors(past),
      },
      { probabilities: tensor(probabilities, candidates.length, release.vocabulary.actions.size) },
    );
    return probabilities;
  }

  const kvOf = ({ rows }: VectorHistory) => (rows.length === 0 ? Promise.resolve(nothing()) : encode(rows));

  test("give training's probabilities, an empty past among them", async () => {
    expect(histories.some(({ rows }) => rows.length === 0)).toBe(true);
    for (const history of histories) {
      const past = await kvOf(history);
      for (const request of history.requests) {
        const expected = Float32Array.from(request.probabilities.flat());
        expectEqual(await rank(request, past), expected, FROM_TRAINING[precision]);
      }
    }
  });

  test('leave the same behind however a history is cut, and nothing later changes anything earlier', async () => {
    const { rows } = histories.toSorted((a, b) => b.rows.length - a.rows.length)[0]!;
    const whole = await encode(rows);
    const cut = fc.integer({ min: 1, max: rows.length - 1 });
    await fc.assert(
      fc.asyncProperty(cut, async (at) => {
        const head = await encode(rows.slice(0, at));
        for (const [layer, keys] of head.keys.entries()) {
          expectEqual(keys, whole.keys[layer]!.subarray(0, keys.length));
          expectEqual(head.values[layer]!, whole.values[layer]!.subarray(0, keys.length));
        }
        const appended = await encode(rows.slice(at), head);
        for (const [layer, keys] of appended.keys.entries()) {
          expectEqual(keys, whole.keys[layer]!);
          expectEqual(appended.values[layer]!, whole.values[layer]!);
        }
      }),
      { seed: 3, numRuns: 12 },
    );
  });

  test('score a candidate the same alone, in any company and in any order', async () => {
    const history = histories.toSorted((a, b) => b.rows.length - a.rows.length)[0]!;
    const past = await kvOf(history);
    const layout = rowLayout(release.manifest);
    const request = { surface: 0, nowMs: 1_790_000_000_000, previousMs: 1_789_999_000_000 };
    const asked = { contextRow: [...contextRows(layout, request)], candidateRow: [...candidateRow(layout, request)] };
    const width = release.vocabulary.actions.size;
    const some = fc.uniqueArray(fc.constantFrom(...items.ids), { minLength: 2, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(some, async (candidates) => {
        const together = await rank({ ...asked, candidates }, past);
        const reversed = await rank({ ...asked, candidates: candidates.toReversed() }, past);
        const alone = await rank({ ...asked, candidates: candidates.slice(0, 1) }, past);
        expectEqual(alone, together.subarray(0, width));
        expectEqual(reversed.subarray(-width), together.subarray(0, width));
      }),
      { seed: 5, numRuns: 10 },
    );
  });
});
