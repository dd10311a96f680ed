import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadRelease, MANIFEST, openItems } from '@onepass/release';
import { SMOKE_RELEASE, smokeDraft } from '@onepass/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildRelease, shardRows } from './build.js';
import { usearchRows } from './exact-search.js';
import { mixedQueries, recall } from './probes.js';
import { decodeSegment, encodeSegment } from './segment.js';
import { openLeaves, openSegments } from './shards.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'onepass-vectors-'));
});
afterAll(() => rm(root, { recursive: true }));

const quiet = () => {};

describe('segments of a release', () => {
  test('are built the same again, whatever lay there before', async () => {
    const directory = await smokeDraft(join(root, 'again'));
    const committed = await loadRelease(SMOKE_RELEASE);
    expect(await buildRelease(directory, { shards: 2, progress: quiet })).toBe(committed.id);
    expect((await readdir(directory)).sort()).toEqual([
      'graphs',
      'index',
      'items',
      MANIFEST,
      'model-card.md',
      'vectors',
    ]);
  });

  test('hold every item once, in the shard of its id', async () => {
    const directory = await smokeDraft(join(root, 'shards'));
    await buildRelease(directory, { shards: 3, partitions: 2, progress: quiet });
    const release = await loadRelease(directory);
    const items = await openItems(release);
    const segments = await openSegments(release, items);
    const rows = segments.map((s) => [...s.tableRows].sort((a, b) => a - b));
    expect(rows).toEqual(shardRows(items.ids, 3));
    expect(rows.flat().length).toBe(items.count);
    expect((await openLeaves(release, items, usearchRows)).length).toBe(3);
  });

  test('find at least .99 of the exact top 200 of the committed release with its own probes', async () => {
    const release = await loadRelease(SMOKE_RELEASE);
    const items = await openItems(release);
    const segments = await openSegments(release, items);
    const queries = mixedQueries(items, 100);
    const measured = recall(segments, items, { queries, probes: release.manifest.index.probes, depth: 200 });
    expect(measured).toBeGreaterThanOrEqual(0.99);
  });

  test('cannot be built with more shards or partitions than items', async () => {
    const directory = await smokeDraft(join(root, 'many'));
    const build = (shards: number, partitions?: number) =>
      buildRelease(directory, { shards, partitions, progress: quiet });
    await expect(build(1000)).rejects.toThrow('would have no items: use fewer shards');
    await expect(build(2, 300)).rejects.toThrow('300 partitions are more than the 205 items of a shard');
    await expect(buildRelease(join(root, 'nowhere'), { shards: 1, progress: quiet })).rejects.toThrow(
      'manifest.draft.json is missing',
    );
  });
});

describe('a segment file', () => {
  test('reads as written, and with any byte flipped not at all', async () => {
    const bytes = await readFile(join(SMOKE_RELEASE, 'index/shard-0.seg'));
    const segment = decodeSegment(bytes, 'segment');
    expect(Buffer.compare(encodeSegment(segment), bytes)).toBe(0);
    expect(segment.rows.byteOffset).toBe(0);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const flipped = Uint8Array.from(bytes);
        flipped[at] = flipped[at]! ^ mask;
        expect(() => decodeSegment(flipped, 'segment')).toThrow(/^segment /);
      }),
      { seed: 8, numRuns: 200 },
    );
    expect(() => decodeSegment(bytes.subarray(0, -1), 'segment')).toThrow(/^segment has \d+ bytes/);
    expect(() => decodeSegment(new Uint8Array(3), 'segment')).toThrow('segment is too short');
  });

  test('that does not fit the manifest or the items is refused by name', async () => {
    const release = await loadRelease(SMOKE_RELEASE);
    const items = await openItems(release);
    const shards = release.manifest.index.shards;
    const open = (changed: typeof shards) =>
      openSegments(
        { ...release, manifest: { ...release.manifest, index: { ...release.manifest.index, shards: changed } } },
        items,
      );
    await expect(open([shards[0]!, shards[0]!])).rejects.toThrow(
      /index\/shard-0\.seg holds row \d+, which is no item or held already/,
    );
    await expect(open([{ ...shards[0]!, partitions: 9 }])).rejects.toThrow('9 partitions that the manifest says');
  });
});
