import { startupError } from '@onepass/errors';
import { z } from 'zod';

/** The manifest as docs/release.md describes it: one schema for reading, writing and typing. */

export const FORMAT = 1;
export const MANIFEST = 'manifest.json';
export const DRAFT_MANIFEST = 'manifest.draft.json';
/** The outcome that stands for every action; the last of a release's outcomes. */
export const ANY_OUTCOME = 'any';

/** Longest text of a query, in bytes of UTF-8. */
export const QUERY_TEXT_BYTES = 1024;

/** Most actions of a vocabulary, and most budgets of a request. */
const ACTIONS = 32;
const BUDGETS = 32;
/** The time features of a model say nothing beyond a year. */
const OFFSET_MS = 366 * 86_400_000;

const count = z.int().min(0);
const size = z.int().min(1);
const name = z.string().min(1).max(128);
/** Relative, inside the release, in one spelling: no empty, `.` or `..` parts, no backslash. */
const path = z
  .string()
  .regex(
    /^(?!\.\.?(?:\/|$))[^/\\\0]+(?:\/(?!\.\.?(?:\/|$))[^/\\\0]+)*$/,
    'must be a plain path inside the release directory',
  );

const precision = z.enum(['fp32', 'fp16', 'int8']);
const model = z.object({
  width: size,
  layers: size,
  heads: size,
  window: size,
  contextRows: size,
  maxCandidates: size,
  itemDimension: size,
  upstreamDimension: size,
  precision,
});
const action = z.object({ name, negative: z.boolean(), utilityWeight: z.number() });
const vocabulary = z.object({
  actions: z.array(action).min(1).max(ACTIONS),
  surfaces: z.array(name).min(1),
  requestFeatures: z.array(name),
});
const tokens = z.object({ dailyPeriodsMs: z.array(z.number().positive()), deltaScale: z.number().positive() });
/** Rules: docs/release.md, "The tokenizer of queries". A bucket must be exact as a float32. */
const queryTokenizer = z.object({
  kind: z.literal('hashed-ngrams'),
  buckets: size.max(2 ** 24),
  seed: z.int().min(0).max(0xffff_ffff),
  ngrams: z.array(z.int().min(1).max(255)),
  maxTokens: size.max(1024),
});
const budget = z.object({
  outcome: name,
  share: z.number().min(0),
  /** How far ahead the outcome is looked for. */
  offsetMs: z.int().min(0).max(OFFSET_MS).default(0),
});
const graphs = z.object({
  encode: path,
  rank: path,
  retrieveHead: path,
  itemTower: path,
  queryTower: path.nullable(),
});
/** What was exported of one precision. How it is measured is training's: whatever else it says is kept. */
const exported = z.looseObject({ graphs, cost: z.record(z.string(), z.unknown()).nullable() });
const items = z.object({ count: size, table: path, metadata: path, popular: path });
const shard = z.object({ file: path, items: count, partitions: size });
const index = z.object({ kind: z.literal('partitioned'), shards: z.array(shard).min(1), probes: size });
const file = z.object({ path, bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) });

const draftShape = {
  format: z.literal(FORMAT),
  name,
  created: z.iso.datetime({ offset: true }),
  model,
  vocabulary,
  tokens,
  budgets: z.record(z.string(), z.array(budget).min(1).max(BUDGETS)),
  /** Those that serve: of `precisions` the ones of `model.precision`. */
  graphs,
  precisions: z.partialRecord(precision, exported).optional(),
  /** Beside graphs.queryTower, and only there. */
  queryTokenizer: queryTokenizer.optional(),
  items,
  metrics: z.record(z.string(), z.unknown()),
  /** What it learnt from and how, for people. */
  training: z.record(z.string(), z.unknown()).optional(),
};
const draftSchema = z.object(draftShape);
const manifestSchema = z.object({
  ...draftShape,
  id: z.string().regex(/^r-[0-9a-f]{12}$/),
  index,
  files: z.array(file).min(1),
});

export type DraftManifest = z.infer<typeof draftSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = z.infer<typeof file>;
export type QueryTokenizer = z.infer<typeof queryTokenizer>;
export type IndexSection = z.infer<typeof index>;
export type DefaultBudget = z.infer<typeof budget>;

/** @throws OnepassError `startup`: one sentence that begins with `where` and names the field. */
export function parseManifest(raw: unknown, where: string): Manifest {
  const manifest = parseWith(manifestSchema, raw, where);
  refuse(where, [...contentProblems(manifest), ...indexProblems(manifest), ...fileProblems(manifest)]);
  return manifest;
}

/** As `parseManifest`, for what training writes. */
export function parseDraft(raw: unknown, where: string): DraftManifest {
  const draft = parseWith(draftSchema, raw, where);
  refuse(where, contentProblems(draft));
  return draft;
}

function parseWith<T>(schema: z.ZodType<T>, raw: unknown, where: string): T {
  const format = (raw as { format?: unknown } | null)?.format;
  if (format !== FORMAT) {
    throw startupError(`${where}: format must be ${FORMAT}, the one this version reads, not ${JSON.stringify(format)}`);
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw startupError(`${where}: ${fieldPath(issue.path)}: ${issue.message}`);
}

function fieldPath(parts: readonly PropertyKey[]): string {
  return parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
}

type Problem = readonly [field: string, description: string];

function refuse(where: string, problems: readonly Problem[]): void {
  const first = problems[0];
  if (first) throw startupError(`${where}: ${first[0]}: ${first[1]}`);
}

function contentProblems(draft: DraftManifest): Problem[] {
  const { model, vocabulary, budgets, graphs, queryTokenizer } = draft;
  const problems: Problem[] = [...precisionProblems(draft)];
  if (graphs.queryTower === null && queryTokenizer !== undefined) {
    problems.push(['queryTokenizer', 'stands only beside graphs.queryTower']);
  }
  if (graphs.queryTower !== null && queryTokenizer === undefined) {
    problems.push(['queryTokenizer', 'is missing: graphs.queryTower needs it']);
  }
  if (model.width % model.heads !== 0) {
    problems.push(['model.heads', `must divide model.width (${model.width}), which ${model.heads} does not`]);
  }
  const actions = vocabulary.actions.map((a) => a.name);
  const outcomes = new Set([...actions, ANY_OUTCOME]);
  problems.push(...repeated('vocabulary.actions', [...actions, ANY_OUTCOME]));
  problems.push(...repeated('vocabulary.surfaces', vocabulary.surfaces));
  problems.push(...repeated('vocabulary.requestFeatures', vocabulary.requestFeatures));
  for (const surface of vocabulary.surfaces) {
    if (!Object.hasOwn(budgets, surface)) problems.push([`budgets.${surface}`, 'is missing: every surface needs one']);
  }
  for (const [surface, list] of Object.entries(budgets)) {
    if (!vocabulary.surfaces.includes(surface)) {
      problems.push([`budgets.${surface}`, 'is not a surface of the vocabulary']);
    }
    const unknown = list.find((b) => !outcomes.has(b.outcome));
    if (unknown)
      problems.push([`budgets.${surface}`, `"${unknown.outcome}" is neither an action nor "${ANY_OUTCOME}"`]);
    if (!list.some((b) => b.share > 0)) problems.push([`budgets.${surface}`, 'shares must sum to more than 0']);
  }
  return problems;
}

function precisionProblems({ model, graphs, precisions }: DraftManifest): Problem[] {
  if (precisions === undefined) return [];
  const serving = precisions[model.precision];
  if (serving === undefined) return [[`precisions.${model.precision}`, 'is missing: model.precision names it']];
  return (Object.keys(graphs) as (keyof typeof graphs)[])
    .filter((graph) => serving.graphs[graph] !== graphs[graph])
    .map((graph) => [
      `precisions.${model.precision}.graphs.${graph}`,
      `is ${JSON.stringify(serving.graphs[graph])}, while graphs.${graph}, which serves, is ${JSON.stringify(graphs[graph])}`,
    ]);
}

function indexProblems({ index, items }: Manifest): Problem[] {
  const indexed = index.shards.reduce((sum, s) => sum + s.items, 0);
  if (indexed === items.count) return [];
  return [['index.shards', `hold ${indexed} items together, while items.count is ${items.count}`]];
}

function fileProblems(manifest: Manifest): Problem[] {
  const { files, graphs, precisions = {}, items, index, model } = manifest;
  const problems = repeated(
    'files',
    files.map((f) => f.path),
  );
  const listed = new Map(files.map((f) => [f.path, f]));
  const named: (readonly [string, string | null])[] = [
    ...graphFiles('graphs', graphs),
    ...Object.entries(precisions).flatMap(([name, { graphs }]) => graphFiles(`precisions.${name}.graphs`, graphs)),
    ['items.table', items.table],
    ['items.metadata', items.metadata],
    ['items.popular', items.popular],
    ...index.shards.map((s, i) => [`index.shards[${i}].file`, s.file] as const),
  ];
  for (const [field, file] of named) {
    if (file !== null && !listed.has(file)) problems.push([field, `"${file}" is not among files`]);
  }
  const table = listed.get(items.table);
  const expected = items.count * model.itemDimension * 2;
  if (table && table.bytes !== expected) {
    problems.push([
      'items.table',
      `must be ${expected} bytes (${items.count} items x ${model.itemDimension} x 2), not ${table.bytes}`,
    ]);
  }
  return problems;
}

function graphFiles(field: string, graphs: Manifest['graphs']) {
  return Object.entries(graphs).map(([graph, file]) => [`${field}.${graph}`, file] as const);
}

function repeated(field: string, names: readonly string[]): Problem[] {
  const twice = names.find((n, i) => names.indexOf(n) !== i);
  return twice === undefined ? [] : [[field, `"${twice}" stands there twice or is reserved`]];
}
