import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishRelease } from './finish.js';
import { openItems, openPopular } from './items.js';
import { openMetadata } from './metadata.js';
import { loadDraft, loadRelease, requireProvider } from './release.js';

const DRAFT = {
  format: 1,
  name: 'sample',
  created: '2026-11-21T00:00:00Z',
  model: {
    width: 8,
    layers: 1,
    heads: 2,
    window: 16,
    contextRows: 8,
    maxCandidates: 100,
    itemDimension: 4,
    upstreamDimension: 4,
    precision: 'fp32',
  },
  vocabulary: {
    actions: [
      { name: 'click', negative: false, utilityWeight: 1 },
      { name: 'hide', negative: true, utilityWeight: -2 },
    ],
    surfaces: ['home', 'related'],
    requestFeatures: [],
  },
  tokens: { dailyPeriodsMs: [86400000], deltaScale: 20 },
  budgets: { home: [{ outcome: 'any', share: 1 }], related: [{ outcome: 'click', share: 0.5 }] },
  graphs: {
    encode: 'graphs/encode.onnx',
    rank: 'graphs/rank.onnx',
    retrieveHead: 'graphs/retrieve_head.onnx',
    itemTower: 'graphs/item_tower.onnx',
    queryTower: null,
  },
  items: { count: 3, table: 'items/table.f16', metadata: 'items/items.jsonl.gz', popular: 'items/popular.json' },
  metrics: { recallAt10: 0.5, 'read by nobody here': { nested: [1] } },
};
const TOKENIZER = { kind: 'hashed-ngrams', buckets: 64, seed: 1, ngrams: [3], maxTokens: 128 };
const INDEX = {
  kind: 'partitioned' as const,
  shards: [{ file: 'index/shard-0.seg', items: 3, partitions: 1 }],
  probes: 1,
};
const ITEMS = [
  { id: 'a', title: 'Ä', attributes: { topic: 'news', tags: ['x', 'y'], price: 1.5 } },
  { id: 'b', title: 'B', attributes: { topic: 'sport', tags: [] } },
  { id: 'c', title: 'C', attributes: {} },
];
const thirtyTwo = () => Array.from({ length: 32 }, (_, i) => ({ name: `a${i}`, negative: i > 20, utilityWeight: i }));
const gzipLines = (lines: readonly object[]) => gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

let root: string;
let made = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'onepass-release-'));
});
afterAll(() => rm(root, { recursive: true }));

async function writeDraft(changes: Readonly<Record<string, string | Uint8Array>> = {}, draft: object = DRAFT) {
  const directory = join(root, `draft-${made++}`);
  const files: Record<string, string | Uint8Array> = {
    'manifest.draft.json': JSON.stringify(draft),
    'graphs/encode.onnx': 'encode',
    'graphs/rank.onnx': 'rank',
    'graphs/retrieve_head.onnx': 'head',
    'graphs/item_tower.onnx': 'tower',
    'graphs/weights.bin': new Uint8Array(3 << 20).fill(7),
    'items/table.f16': new Uint8Array(Uint16Array.from({ length: 12 }, (_, i) => 0x3800 + i).buffer),
    'items/items.jsonl.gz': gzipLines(ITEMS),
    'items/popular.json': JSON.stringify({ home: ['c', 'a'], related: ['b'] }),
    'index/shard-0.seg': 'segment',
    ...changes,
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

async function writeRelease(changes: Readonly<Record<string, string | Uint8Array>> = {}): Promise<string> {
  const directory = await writeDraft(changes);
  await finishRelease(await loadDraft(directory), INDEX);
  return directory;
}

/** The one sentence of a refusal, without the directory. */
async function refusal(act: Promise<unknown>): Promise<string> {
  const error = await act.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof OnepassError && error.kind === 'startup') return error.message.replace(/^release \S+: /, '');
  return expect.fail(`not refused at start: ${String(error)}`);
}

const rewriteManifest = async (directory: string, edit: (manifest: Record<string, never>) => unknown) => {
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify(edit(manifest)));
};

describe('a release', () => {
  test('is finished from a draft and loads', async () => {
    const directory = await writeRelease();
    const release = await loadRelease(directory);
    expect(release.id).toMatch(/^r-[0-9a-f]{12}$/);
    expect(release.manifest.files.map((f) => f.path)).toContain('graphs/weights.bin');
    expect(release.manifest.created).toBe(DRAFT.created);
    expect(release.manifest.metrics).toEqual(DRAFT.metrics);
    expect(release.path('graphs/rank.onnx')).toBe(join(directory, 'graphs/rank.onnx'));
    const { vocabulary } = release;
    expect(vocabulary.outcomes.names).toEqual(['click', 'hide', 'any']);
    expect(vocabulary.actions.index('hide')).toBe(1);
    expect(vocabulary.actions.index('any')).toBeUndefined();
    expect([...vocabulary.utilityWeights]).toEqual([1, -2]);
    expect(vocabulary.budgets('related')).toEqual([{ outcome: 'click', share: 0.5, offsetMs: 0 }]);
    expect(vocabulary.budgets('toString')).toEqual([]);
    expect(() => vocabulary.surfaces.require('shop', 'surface')).toThrow(
      'surface: "shop" is not one of the release\'s surfaces: home, related',
    );
    expect((await readdir(directory)).sort()).toEqual(['graphs', 'index', 'items', 'manifest.json']);
  });

  test('has an id of its content: not of its creation time, of everything else', async () => {
    const idOf = async (draft: object) => finishRelease(await loadDraft(await writeDraft({}, draft)), INDEX);
    const id = await idOf(DRAFT);
    expect(await idOf({ ...DRAFT, created: '2027-01-01T10:00:00+02:00' })).toBe(id);
    expect(await idOf(Object.fromEntries(Object.entries(DRAFT).reverse()))).toBe(id);
    expect(await idOf({ ...DRAFT, tokens: { ...DRAFT.tokens, deltaScale: 21 } })).not.toBe(id);
    expect(await idOf({ ...DRAFT, metrics: {} })).not.toBe(id);
  });

  test('says its precisions, its training and how far ahead it looks; other manifests need not', async () => {
    const int8 = { ...DRAFT.graphs, rank: 'graphs/int8/rank.onnx' };
    const draft = {
      ...DRAFT,
      model: { ...DRAFT.model, precision: 'int8' },
      vocabulary: { actions: thirtyTwo(), surfaces: ['home'], requestFeatures: ['age', 'hour'] },
      budgets: { home: [{ outcome: 'any', share: 1, offsetMs: 14_400_000 }] },
      graphs: int8,
      precisions: {
        fp32: { graphs: DRAFT.graphs, cost: null, speed: { rankMs: 2 } },
        int8: { graphs: int8, cost: { maxProbabilityDifference: 0.01 }, 'of a later version': 1 },
      },
      training: { seed: 1, dataset: { name: 'logs' } },
    };
    const files = { 'graphs/int8/rank.onnx': 'rank', 'items/popular.json': JSON.stringify({ home: ['a'] }) };
    const directory = await writeDraft(files, draft);
    await finishRelease(await loadDraft(directory), INDEX);
    const { manifest, vocabulary } = await loadRelease(directory);
    expect(manifest).toMatchObject({ precisions: draft.precisions, training: draft.training, graphs: int8 });
    expect(vocabulary.budgets('home')).toEqual([{ outcome: 'any', share: 1, offsetMs: 14_400_000 }]);
    expect(vocabulary.actions.size).toBe(32);
    expect(vocabulary.requestFeatures.names).toEqual(['age', 'hour']);
  });

  test('in int8 runs on CPUs only', async () => {
    const directory = await writeRelease();
    const { manifest, ...release } = await loadRelease(directory);
    const serving = (precision: 'fp32' | 'int8') => ({
      ...release,
      manifest: { ...manifest, model: { ...manifest.model, precision } },
    });
    for (const provider of ['cpu', 'cuda:0']) requireProvider(serving('fp32'), provider);
    requireProvider(serving('int8'), 'cpu');
    expect(await refusal((async () => requireProvider(serving('int8'), 'cuda:0'))())).toBe(
      'manifest.json: model.precision is int8, whose graphs run on CPUs only: ONEPASS_EXECUTION_PROVIDER must be cpu, or the release one that serves in fp32',
    );
  });

  test('ends the same when finishing is repeated after a crash before the draft was removed', async () => {
    const directory = await writeDraft({ 'graphs/.weights.bin.writing': 'half' });
    const draft = await loadDraft(directory);
    const id = await finishRelease(draft, INDEX);
    expect(await finishRelease(draft, INDEX)).toBe(id);
    expect((await loadRelease(directory)).id).toBe(id);
  });

  test('gives items, metadata and popular lists', async () => {
    const release = await loadRelease(await writeRelease());
    const items = await openItems(release);
    expect(items.ids).toEqual(['a', 'b', 'c']);
    expect([items.rowOf('b'), items.rowOf('zzz'), items.rowOf('constructor')]).toEqual([1, undefined, undefined]);
    expect([...items.embedding(1)]).toEqual([4, 5, 6, 7].map((i) => 0.5 + i * 2 ** -11));
    expect([...items.bits(2)]).toEqual([0x3808, 0x3809, 0x380a, 0x380b]);
    const metadata = await openMetadata(release);
    expect(metadata.titles).toEqual(['Ä', 'B', 'C']);
    expect(metadata.attributes[0]).toEqual(ITEMS[0]?.attributes);
    expect(Object.fromEntries(metadata.declared)).toEqual({ topic: 'text', tags: 'texts', price: 'number' });
    const popular = await openPopular(release, items);
    expect([...popular.get('home')!]).toEqual([2, 0]);
  });
});

describe('a damaged release is refused by a sentence that names', () => {
  test('the file that is missing, short or altered', async () => {
    const missing = await writeRelease();
    await rm(join(missing, 'graphs/rank.onnx'));
    expect(await refusal(loadRelease(missing))).toBe('graphs/rank.onnx is missing');
    const short = await writeRelease();
    await truncate(join(short, 'graphs/weights.bin'), 100);
    expect(await refusal(loadRelease(short))).toBe(
      'graphs/weights.bin has 100 bytes, the manifest says 3145728: it is damaged',
    );
    const altered = await writeRelease();
    await writeFile(join(altered, 'graphs/rank.onnx'), 'rabk');
    expect(await refusal(loadRelease(altered))).toContain('graphs/rank.onnx does not have the checksum');
    expect(await refusal(loadRelease(join(root, 'nowhere')))).toBe('manifest.json is missing');
    expect(await refusal(loadRelease(await writeDraft()))).toBe('manifest.json is missing');
    const folder = await writeRelease();
    await rename(join(folder, 'items/table.f16'), join(folder, 'items/other'));
    await mkdir(join(folder, 'items/table.f16'));
    expect(await refusal(loadRelease(folder))).toContain('items/table.f16 cannot be read (EISDIR)');
  });

  test('the field of the manifest', async () => {
    const release = await writeRelease();
    const cases: [(manifest: Record<string, never>) => unknown, string][] = [
      [(m) => ({ ...m, format: 2 }), 'manifest.json: format must be 1, the one this version reads, not 2'],
      [() => null, 'manifest.json: format must be 1, the one this version reads, not undefined'],
      [(m) => ({ ...m, name: 'other' }), 'manifest.json: id is r-'],
      [(m) => ({ ...m, model: { ...DRAFT.model, heads: 3 } }), 'manifest.json: model.heads: must divide'],
      [(m) => ({ ...m, model: { ...DRAFT.model, itemDimension: 5 } }), 'manifest.json: items.table: must be 30 bytes'],
      [(m) => ({ ...m, model: { ...DRAFT.model, window: '16' } }), 'manifest.json: model.window: '],
      [(m) => ({ ...m, queryTokenizer: TOKENIZER }), 'queryTokenizer: stands only beside graphs.queryTower'],
      [
        (m) => ({ ...m, graphs: { ...DRAFT.graphs, queryTower: 'graphs/rank.onnx' } }),
        'queryTokenizer: is missing: graphs.queryTower needs it',
      ],
      [(m) => ({ ...m, queryTokenizer: { ...TOKENIZER, kind: 'words' } }), 'queryTokenizer.kind: '],
      [(m) => ({ ...m, queryTokenizer: { ...TOKENIZER, buckets: 2 ** 24 + 1 } }), 'queryTokenizer.buckets: '],
      [
        (m) => ({ ...m, index: { ...INDEX, shards: [{ ...INDEX.shards[0], items: 2 }] } }),
        'index.shards: hold 2 items',
      ],
      [
        (m) => ({ ...m, graphs: { ...DRAFT.graphs, rank: 'graphs/none.onnx' } }),
        'graphs.rank: "graphs/none.onnx" is not',
      ],
      [(m) => ({ ...m, budgets: { home: DRAFT.budgets.home } }), 'budgets.related: is missing'],
      [(m) => ({ ...m, budgets: { ...DRAFT.budgets, home: [{ outcome: 'buy', share: 1 }] } }), 'budgets.home: "buy"'],
      [(m) => ({ ...m, budgets: { ...DRAFT.budgets, home: [{ outcome: 'any', share: 0 }] } }), 'budgets.home: shares'],
      [
        (m) => ({ ...m, vocabulary: { ...DRAFT.vocabulary, surfaces: ['home', 'related', 'home'] } }),
        'vocabulary.surfaces: "home"',
      ],
    ];
    const fp32 = { graphs: DRAFT.graphs, cost: null };
    const precisionCases: [object, string][] = [
      [{ int8: fp32 }, 'precisions.fp32: is missing: model.precision names it'],
      [{ fp32, bf16: fp32 }, 'precisions: Unrecognized key: "bf16"'],
      [{ fp32: { graphs: DRAFT.graphs } }, 'precisions.fp32.cost: '],
      [
        { fp32, int8: { cost: null, graphs: { ...DRAFT.graphs, rank: 'graphs/none.onnx' } } },
        'precisions.int8.graphs.rank: "graphs/none.onnx" is not among files',
      ],
      [
        { fp32: { cost: null, graphs: { ...DRAFT.graphs, rank: 'graphs/encode.onnx' } } },
        'precisions.fp32.graphs.rank: is "graphs/encode.onnx", while graphs.rank, which serves, is "graphs/rank.onnx"',
      ],
    ];
    for (const [precisions, sentence] of precisionCases) cases.push([(m) => ({ ...m, precisions }), sentence]);
    const ahead = (offsetMs: number) => ({ ...DRAFT.budgets, home: [{ outcome: 'any', share: 1, offsetMs }] });
    for (const offsetMs of [-1, 0.5, 367 * 86_400_000]) {
      cases.push([(m) => ({ ...m, budgets: ahead(offsetMs) }), 'budgets.home[0].offsetMs: ']);
    }
    const many = { ...DRAFT.vocabulary, actions: [...thirtyTwo(), DRAFT.vocabulary.actions[1]] };
    cases.push([(m) => ({ ...m, vocabulary: many }), 'vocabulary.actions: ']);
    cases.push([(m) => ({ ...m, budgets: { home: Array(33).fill({ outcome: 'any', share: 1 }) } }), 'budgets.home: ']);
    for (const path of ['../secret', '/etc/passwd', 'items/../../x', 'a//b', './x', 'a/.', 'a\\..\\b', '']) {
      cases.push([(m) => ({ ...m, items: { ...DRAFT.items, table: path } }), 'items.table: must be a plain path']);
      const file = { path, bytes: 1, sha256: '0'.repeat(64) };
      cases.push([(m) => ({ ...m, files: [file] }), 'files[0].path: must be a plain path']);
    }
    for (const [edit, sentence] of cases) {
      const copy = join(root, `copy-${made++}`);
      await cp(release, copy, { recursive: true });
      await rewriteManifest(copy, edit);
      expect(await refusal(loadRelease(copy))).toContain(sentence);
    }
    await writeFile(join(release, 'manifest.json'), '{"format": 1,');
    expect(await refusal(loadRelease(release))).toBe('manifest.json is not valid JSON');
  });

  test('the item file and line', async () => {
    const open = async (path: string, content: string | Uint8Array, opener: typeof openItems | typeof openMetadata) =>
      refusal(opener(await loadRelease(await writeRelease({ [path]: content }))));
    const lines = (...changed: object[]) => gzipLines([...ITEMS.slice(0, 3 - changed.length), ...changed]);
    const item = { id: 'c', title: 'C', attributes: {} };
    const file = 'items/items.jsonl.gz';
    expect(await open(file, gzipLines(ITEMS.slice(1)), openItems)).toBe(`${file} has 2 lines for 3 items`);
    expect(await open(file, 'not gzip', openItems)).toBe(`${file} cannot be unpacked`);
    expect(await open(file, gzipLines(ITEMS).subarray(0, 40), openItems)).toBe(`${file} cannot be unpacked`);
    expect(await open(file, lines({ ...item, id: 'a' }), openItems)).toContain('has the item "a" twice');
    expect(await open(file, lines({ ...item, id: 'ü'.repeat(65) }), openItems)).toContain('line 3: id must be');
    expect(await open(file, lines({ ...item, attributes: { price: 'high' } }), openMetadata)).toContain(
      'line 3: price is text here and number before',
    );
    expect(await open(file, lines({ ...item, attributes: { price: null } }), openMetadata)).toContain('line 3: price');
    const nan = Uint16Array.from({ length: 12 }, (_, i) => (i === 5 ? 0x7e00 : 0));
    expect(await open('items/table.f16', new Uint8Array(nan.buffer), openItems)).toContain('not finite');
    const popular = async (lists: object) => {
      const release = await loadRelease(await writeRelease({ 'items/popular.json': JSON.stringify(lists) }));
      return refusal(openPopular(release, await openItems(release)));
    };
    expect(await popular({ home: ['a'] })).toContain('has no items for the surface "related"');
    expect(await popular({ home: ['a', 'q'], related: ['a'] })).toContain('"q" of "home" is not an item');
    expect(await popular({ home: ['a', 'a'], related: ['a'] })).toContain('twice');
  });

  test('whatever byte is flipped, at 200 places: refused, or nothing but the creation time reads otherwise', async () => {
    const directory = await writeRelease({ 'graphs/weights.bin': 'small' });
    const { manifest } = await loadRelease(directory);
    const paths = ['manifest.json', 'manifest.json', ...manifest.files.map((f) => f.path)];
    const place = fc.record({ path: fc.constantFrom(...paths), at: fc.double({ min: 0, max: 1, noNaN: true }) });
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async ({ path, at }, mask) => {
        const file = join(directory, path);
        const bytes = await readFile(file);
        const flipped = Buffer.from(bytes);
        const position = Math.min(bytes.length - 1, Math.floor(at * bytes.length));
        flipped[position] = flipped[position]! ^ mask;
        await writeFile(file, flipped);
        const loaded = await loadRelease(directory).catch((error: OnepassError) => error);
        await writeFile(file, bytes);
        if (!(loaded instanceof Error)) {
          expect(path).toBe('manifest.json');
          expect({ ...loaded.manifest, created: '' }).toEqual({ ...manifest, created: '' });
        } else expect((loaded as OnepassError).kind).toBe('startup');
      }),
      { seed: 7, numRuns: 200 },
    );
  });
});
