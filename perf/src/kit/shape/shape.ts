import { startupError } from '@onepass/errors';
import type { Shape } from '../measurements.js';

/** A release that can be made without data: its shape, and what else it is made with. */
export interface ReleaseShape extends Shape {
  readonly heads: number;
  /** Of the catalogue. */
  readonly items: number;
}

/** Beginning of the name of every release whose weights are made up. Nobody may quote quality from one. */
const SYNTHETIC_PREFIX = 'synthetic-weights-';

const DEFAULT_ITEMS = 20_000;

interface Field {
  readonly letter: string;
  readonly means: string;
  readonly least: number;
  readonly most: number;
  readonly needed: boolean;
}

/** The bounds are those of training's `shape` command. */
const FIELDS: readonly Field[] = [
  { letter: 'n', means: 'tokens of the window', least: 1, most: 8_192, needed: true },
  { letter: 'k', means: 'candidates', least: 1, most: 2_000, needed: true },
  { letter: 'L', means: 'layers', least: 1, most: 96, needed: true },
  { letter: 'd', means: 'width', least: 2, most: 4_096, needed: true },
  { letter: 'heads', means: 'attention heads', least: 1, most: 256, needed: false },
  { letter: 'items', means: 'items of the catalogue', least: 400, most: 1_000_000, needed: false },
];

/**
 * Reads `--shape`: `n=992,k=656,L=12,d=512`, in any order, perhaps with `heads=` (else of 64 columns from d=512 on, of 32 below) and
 * `items=` (else 20000).
 * @throws OnepassError `startup` naming the field
 */
export function parseShape(text: string): ReleaseShape {
  const values = fieldsOf(text);
  const value = (letter: string, fallback: number) => values.get(letter) ?? fallback;
  const width = value('d', 0);
  const shape: ReleaseShape = {
    n: value('n', 0),
    k: value('k', 0),
    layers: value('L', 0),
    width,
    heads: value('heads', Math.max(1, Math.floor(width / (width >= 512 ? 64 : 32)))),
    items: value('items', DEFAULT_ITEMS),
  };
  if (shape.width % (2 * shape.heads) !== 0) {
    throw startupError(`--shape: d=${width} cannot be cut into ${shape.heads} heads of an even size`);
  }
  if (shape.k > shape.items)
    throw startupError(`--shape: k=${shape.k} is more than the ${shape.items} items there are`);
  return shape;
}

function fieldsOf(text: string): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const part of text.split(',')) {
    const [letter = '', raw = '', ...rest] = part.trim().split('=');
    const field = FIELDS.find((known) => known.letter === letter);
    if (field === undefined || rest.length > 0) {
      throw startupError(`--shape: "${part}" is none of ${FIELDS.map((known) => `${known.letter}=..`).join(', ')}`);
    }
    if (values.has(letter)) throw startupError(`--shape: ${letter} is given twice`);
    values.set(letter, numberOf(field, raw));
  }
  const missing = FIELDS.find(({ letter, needed }) => needed && !values.has(letter));
  if (missing === undefined) return values;
  throw startupError(`--shape: ${missing.letter} (${missing.means}) is missing: it reads like n=992,k=656,L=12,d=512`);
}

function numberOf({ letter, means, least, most }: Field, raw: string): number {
  const value = /^\d{1,9}$/.test(raw) ? Number(raw) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw startupError(`--shape: ${letter} (${means}) must be a whole number from ${least} to ${most}, not "${raw}"`);
}

/** As the release of this shape is named. */
export const nameOf = ({ n, k, layers, width }: Shape) => `${SYNTHETIC_PREFIX}n${n}-k${k}-L${layers}-d${width}`;

/** Whether a release's weights are made up, so that quality may not be quoted from it. */
export function hasSyntheticWeights(manifest: { readonly name: string; readonly metrics: object }): boolean {
  return manifest.name.startsWith(SYNTHETIC_PREFIX) || Reflect.get(manifest.metrics, 'syntheticWeights') === true;
}
