import { readFile } from 'node:fs/promises';
import { startupError } from '@onepass/errors';
import type { Items, Release } from '@onepass/release';
import type { RowSearch } from './exact-search.js';
import { PartitionedLeaf } from './leaf.js';
import { decodeSegment, type Segment } from './segment.js';

/** The segments of a release, checked against its manifest and items. @throws OnepassError `startup` naming the file */
export async function openSegments(release: Release, items: Items): Promise<Segment[]> {
  const segments: Segment[] = [];
  const held = new Uint8Array(items.count);
  for (const { file, items: count, partitions } of release.manifest.index.shards) {
    const where = `release ${release.directory}: ${file}`;
    const segment = decodeSegment(await readFile(release.path(file)), where);
    if (segment.dimension !== items.dimension) {
      throw startupError(`${where} has dimension ${segment.dimension}, the items have ${items.dimension}`);
    }
    if (segment.tableRows.length !== count || segment.offsets.length - 1 !== partitions) {
      throw startupError(
        `${where} does not have the ${count} items in ${partitions} partitions that the manifest says`,
      );
    }
    for (const row of segment.tableRows) {
      if (held[row] !== 0) throw startupError(`${where} holds row ${row}, which is no item or held already`);
      held[row] = 1;
    }
    segments.push(segment);
  }
  return segments;
}

/** One leaf for each shard of a release, all in this process. */
export async function openLeaves(release: Release, items: Items, rowSearch: RowSearch): Promise<PartitionedLeaf[]> {
  const segments = await openSegments(release, items);
  const { probes } = release.manifest.index;
  return segments.map((segment) => new PartitionedLeaf(segment, items, { probes, rowSearch }));
}
