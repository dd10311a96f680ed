import type { SchemaElement } from 'hyparquet';

/** Grows with every change that a reader must know of. */
export const SCHEMA_VERSION = 1;

export const EVENTS_FILE = 'events.parquet';
export const SLATES_FILE = 'slates.parquet';
export const MANIFEST_FILE = 'manifest.json';

/** One event of a person's history; docs/data.md says every column. */
export interface EventRow {
  readonly person: string;
  readonly sequence: bigint;
  /** 16 hex digits. */
  readonly hash: string;
  readonly event_id: string;
  readonly operation: 'add' | 'retract';
  readonly item_id: string | undefined;
  readonly query_text: string | undefined;
  readonly actions: readonly string[];
  readonly surface: string;
  readonly time_ms: bigint;
  readonly effective_ms: bigint;
  readonly slate_id: string | undefined;
  readonly position: bigint | undefined;
  readonly retracts: bigint | undefined;
}

/** One page as it was served, with the outcomes told of it. */
export interface SlateRow {
  readonly slate_id: string;
  readonly person: string | undefined;
  readonly surface: string;
  readonly time_ms: bigint;
  readonly history_sequence: bigint;
  readonly history_hash: string;
  readonly release_id: string;
  readonly foreign: boolean;
  readonly degraded: readonly string[];
  readonly related_item_ids: readonly string[];
  readonly query_text: string | undefined;
  readonly query_embedding: readonly number[] | undefined;
  /** Undefined: none were given, or the export is of a version that had no such column. */
  readonly features: Readonly<Record<string, number>> | undefined;
  readonly actions: readonly string[];
  readonly items: readonly SlateItemRow[];
}

export interface SlateItemRow {
  readonly item_id: string;
  readonly position: bigint;
  readonly utility: number;
  readonly probabilities: readonly number[];
  /** Undefined, as `actions` then is: nothing was told of it. */
  readonly visible: boolean | undefined;
  readonly actions: readonly string[] | undefined;
}

type Presence = 'REQUIRED' | 'OPTIONAL';

const leaf = (name: string, type: SchemaElement['type'], presence: Presence = 'REQUIRED'): SchemaElement[] => [
  { name, type, repetition_type: presence } as SchemaElement,
];
const text = (name: string, presence: Presence = 'REQUIRED'): SchemaElement[] => [
  { name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: presence },
];
const list = (name: string, element: SchemaElement[], presence: Presence = 'REQUIRED'): SchemaElement[] => [
  { name, converted_type: 'LIST', repetition_type: presence, num_children: 1 },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  ...element,
];
const map = (name: string, value: SchemaElement[], presence: Presence = 'REQUIRED'): SchemaElement[] => [
  { name, converted_type: 'MAP', repetition_type: presence, num_children: 1 },
  { name: 'key_value', repetition_type: 'REPEATED', num_children: 2 },
  ...text('key'),
  ...value,
];
const struct = (name: string, fields: SchemaElement[][]): SchemaElement[] => [
  { name, repetition_type: 'REQUIRED', num_children: fields.length },
  ...fields.flat(),
];

export interface Table {
  readonly columns: readonly string[];
  readonly schema: SchemaElement[];
  /** Rows that are held in memory, and written as one group. */
  readonly groupRows: number;
}

function table(groupRows: number, columns: SchemaElement[][]): Table {
  return { columns: columns.map(([first]) => first?.name ?? ''), schema: struct('schema', columns), groupRows };
}

export const EVENTS: Table = table(20_000, [
  text('person'),
  leaf('sequence', 'INT64'),
  text('hash'),
  text('event_id'),
  text('operation'),
  text('item_id', 'OPTIONAL'),
  text('query_text', 'OPTIONAL'),
  list('actions', text('element')),
  text('surface'),
  leaf('time_ms', 'INT64'),
  leaf('effective_ms', 'INT64'),
  text('slate_id', 'OPTIONAL'),
  leaf('position', 'INT64', 'OPTIONAL'),
  leaf('retracts', 'INT64', 'OPTIONAL'),
]);

export const SLATES: Table = table(2_000, [
  text('slate_id'),
  text('person', 'OPTIONAL'),
  text('surface'),
  leaf('time_ms', 'INT64'),
  leaf('history_sequence', 'INT64'),
  text('history_hash'),
  text('release_id'),
  leaf('foreign', 'BOOLEAN'),
  list('degraded', text('element')),
  list('related_item_ids', text('element')),
  text('query_text', 'OPTIONAL'),
  list('query_embedding', leaf('element', 'FLOAT'), 'OPTIONAL'),
  map('features', leaf('value', 'DOUBLE'), 'OPTIONAL'),
  list('actions', text('element')),
  list(
    'items',
    struct('element', [
      text('item_id'),
      leaf('position', 'INT64'),
      leaf('utility', 'FLOAT'),
      list('probabilities', leaf('element', 'FLOAT')),
      leaf('visible', 'BOOLEAN', 'OPTIONAL'),
      list('actions', text('element'), 'OPTIONAL'),
    ]),
  ),
]);
