import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { allFiniteF16, widenF16Row } from '@onepass/embeddings';
import { startupError } from '@onepass/errors';
import { readBytes, readJson } from './files.js';
import type { DraftManifest } from './manifest.js';

/** A release or a draft: both have items. */
export interface ItemSource {
  readonly directory: string;
  readonly manifest: Pick<DraftManifest, 'model' | 'items' | 'vocabulary'>;
}

/** Most bytes of an item's id, in UTF-8. */
export const ID_BYTES = 128;
/** Longest popular list of one surface. */
const POPULAR_ITEMS = 500;

/** Ids, rows and embeddings of a release's items. */
export class Items {
  readonly count: number;
  /** E. */
  readonly dimension: number;
  /** By row. */
  readonly ids: readonly string[];
  /** Row-major [count, dimension], float16 bits: the one truth for item embeddings. */
  readonly table: Uint16Array;
  readonly #rows: ReadonlyMap<string, number>;

  constructor(ids: readonly string[], table: Uint16Array, rows: ReadonlyMap<string, number>) {
    this.count = ids.length;
    this.dimension = table.length / ids.length;
    this.ids = ids;
    this.table = table;
    this.#rows = rows;
  }

  /** undefined = the release does not know the item. */
  rowOf(id: string): number | undefined {
    return this.#rows.get(id);
  }

  /** Float16 bits [dimension] of a row: a view on the table. */
  bits(row: number): Uint16Array {
    return this.table.subarray(row * this.dimension, (row + 1) * this.dimension);
  }

  /** A row widened to float32 [dimension], into `out` where given. */
  embedding(row: number, out: Float32Array = new Float32Array(this.dimension)): Float32Array {
    return widenF16Row(this.bits(row), out);
  }
}

/** Ids and item table. @throws OnepassError `startup` naming the file that does not fit. */
export async function openItems(source: ItemSource): Promise<Items> {
  const { directory, manifest } = source;
  const { count, table: tablePath, metadata } = manifest.items;
  const bytes = await readBytes(directory, tablePath);
  const expected = count * manifest.model.itemDimension * 2;
  if (bytes.length !== expected) {
    throw startupError(`release ${directory}: ${tablePath} has ${bytes.length} bytes, ${expected} are needed`);
  }
  const table = new Uint16Array(bytes.buffer);
  if (!allFiniteF16(table)) throw startupError(`release ${directory}: ${tablePath} holds a number that is not finite`);
  const ids: string[] = [];
  const rows = new Map<string, number>();
  for (const line of await itemLines(source)) {
    if (rows.has(line.id)) throw startupError(`release ${directory}: ${metadata} has the item "${line.id}" twice`);
    rows.set(line.id, ids.length);
    ids.push(line.id);
  }
  return new Items(ids, table, rows);
}

/** The popular items of each surface as rows, in order. @throws OnepassError `startup` naming the surface or item. */
export async function openPopular(source: ItemSource, items: Items): Promise<ReadonlyMap<string, Uint32Array>> {
  const { directory, manifest } = source;
  const path = manifest.items.popular;
  const raw = await readJson(directory, path);
  const fail = (problem: string) => startupError(`release ${directory}: ${path}: ${problem}`);
  if (typeof raw !== 'object' || raw === null) throw fail('must be an object of lists by surface');
  const lists = raw as Record<string, unknown>;
  const popular = new Map<string, Uint32Array>();
  for (const surface of manifest.vocabulary.surfaces) {
    const list = Object.hasOwn(lists, surface) ? lists[surface] : undefined;
    if (!Array.isArray(list) || list.length === 0) throw fail(`has no items for the surface "${surface}"`);
    if (list.length > POPULAR_ITEMS) throw fail(`has more than ${POPULAR_ITEMS} items for the surface "${surface}"`);
    const rows = list.map((id: unknown) => {
      const row = typeof id === 'string' ? items.rowOf(id) : undefined;
      if (row === undefined) throw fail(`${JSON.stringify(id)} of "${surface}" is not an item of the release`);
      return row;
    });
    if (new Set(rows).size !== rows.length) throw fail(`has an item of the surface "${surface}" twice`);
    popular.set(surface, Uint32Array.from(rows));
  }
  return popular;
}

export interface ItemLine {
  readonly id: string;
  readonly title: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** The lines of the metadata file, as many as there are items, parsed as they are asked for. @throws OnepassError `startup` naming the line. */
export async function itemLines({ directory, manifest }: ItemSource): Promise<Iterable<ItemLine>> {
  const { metadata, count } = manifest.items;
  const where = `release ${directory}: ${metadata}`;
  const packed = await readBytes(directory, metadata);
  const text = await promisify(gunzip)(packed).catch((error: unknown) => {
    throw startupError(`${where} cannot be unpacked`, error);
  });
  const lines = text.toString('utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length !== count) throw startupError(`${where} has ${lines.length} lines for ${count} items`);
  return parseLines(lines, where);
}

function* parseLines(lines: readonly string[], where: string): Generator<ItemLine> {
  for (const [row, line] of lines.entries()) yield parseLine(line, `${where}: line ${row + 1}`);
}

function parseLine(line: string, where: string): ItemLine {
  let parsed: Partial<ItemLine> | null;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    throw startupError(`${where} is not valid JSON`, error);
  }
  const { id, title, attributes } = parsed ?? {};
  if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > ID_BYTES) {
    throw startupError(`${where}: id must be a string of 1 to ${ID_BYTES} bytes`);
  }
  if (typeof title !== 'string') throw startupError(`${where}: title must be a string`);
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw startupError(`${where}: attributes must be an object`);
  }
  return { id, title, attributes };
}
