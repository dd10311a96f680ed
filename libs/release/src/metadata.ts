import { startupError } from '@onepass/errors';
import { type ItemSource, itemLines } from './items.js';

export type ItemAttribute = string | readonly string[] | number;
/** One text, several texts, or a number. */
export type AttributeType = 'text' | 'texts' | 'number';

/** Titles and attributes by row, and which attributes there are. */
export interface ItemMetadata {
  readonly titles: readonly string[];
  readonly attributes: readonly Readonly<Record<string, ItemAttribute>>[];
  /** Attributes that any item has, with their one type, by name. */
  readonly declared: ReadonlyMap<string, AttributeType>;
}

/** For roles that answer or filter by more than ids. @throws OnepassError `startup` naming the line and attribute. */
export async function openMetadata(source: ItemSource): Promise<ItemMetadata> {
  const titles: string[] = [];
  const attributes: Readonly<Record<string, ItemAttribute>>[] = [];
  const declared = new Map<string, AttributeType>();
  for (const line of await itemLines(source)) {
    titles.push(line.title);
    for (const [name, value] of Object.entries(line.attributes)) {
      const where = `release ${source.directory}: ${source.manifest.items.metadata}: line ${titles.length}: ${name}`;
      const type = typeOf(value);
      if (type === undefined) throw startupError(`${where} must be a text, a list of texts or a finite number`);
      const known = declared.get(name);
      if (known !== undefined && known !== type) throw startupError(`${where} is ${type} here and ${known} before`);
      declared.set(name, type);
    }
    attributes.push(line.attributes as Record<string, ItemAttribute>);
  }
  return { titles, attributes, declared };
}

function typeOf(value: unknown): AttributeType | undefined {
  if (typeof value === 'string') return 'text';
  if (typeof value === 'number') return Number.isFinite(value) ? 'number' : undefined;
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return 'texts';
  return undefined;
}
