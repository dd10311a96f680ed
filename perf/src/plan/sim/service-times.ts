import { readFile, rename, writeFile } from 'node:fs/promises';
import { startupError } from '@onepass/errors';
import type { Shape } from '../../kit/measurements.js';
import type { Machine } from '../../machine.js';

/** What a page has to be encoded of: nothing, what is new, or all. */
export const ENCODE_KINDS = ['keep', 'append', 'encode'] as const;
export type EncodeKind = (typeof ENCODE_KINDS)[number];

/**
 * CPU of one page by who used it, in ms: the event loops of client, gateway, user-encoder, retrieval and ranking; the graph runs of the two
 * that have any; and what other threads of a process did beside them (garbage, compiling, files).
 */
export const PAGE_PARTS = [
  'client',
  'gateway',
  'gatewayBeside',
  'encoder',
  'encoderGraph',
  'encoderBeside',
  'retrieval',
  'retrievalBeside',
  'ranking',
  'rankingGraph',
  'rankingBeside',
] as const;
export type PagePart = (typeof PAGE_PARTS)[number];

export interface PageTimes extends Readonly<Record<PagePart, number>> {
  readonly kind: EncodeKind;
  /** That were encoded. */
  readonly tokens: number;
  /** As the client saw it. */
  readonly wallMs: number;
}

export const ACTION_PARTS = ['client', 'gateway', 'gatewayBeside'] as const;

/** One LogActions. */
export interface ActionTimes extends Readonly<Record<(typeof ACTION_PARTS)[number], number>> {
  readonly events: number;
}

/** Measured one at a time on an idle machine, but for `wakeMs` and `busySpeed`. */
export interface ServiceTimes {
  readonly machine: Machine;
  readonly date: string;
  readonly release: string;
  readonly shape: Shape;
  /** Tokens of the histories. */
  readonly historyLength: number;
  /** From one thread to another that sleeps on an idle core, in ms. */
  readonly hopMs: number;
  /** How much longer that takes under a load, when a thread finds the core that wakes it in use though another sleeps. Fitted to a light load. */
  readonly wakeMs: number;
  /** How fast a core is while all are busy, to one that is alone. Fitted to a heavy load. */
  readonly busySpeed: number;
  readonly pages: readonly PageTimes[];
  readonly actions: readonly ActionTimes[];
}

/** Columns in their order, so that a file of some thousand rows stays small. */
const PAGE_COLUMNS = ['tokens', 'wallMs', ...PAGE_PARTS] as const;
const ACTION_COLUMNS = ['events', ...ACTION_PARTS] as const;
const MICROS = 1000;

/** Whole or not at all. */
export async function writeServiceTimes(file: string, { pages, actions, ...head }: ServiceTimes): Promise<void> {
  const row = (values: readonly number[]) => JSON.stringify(values.map((ms) => Math.round(ms * MICROS) / MICROS));
  const rows = (of: readonly string[]) => (of.length === 0 ? '[]' : `[\n      ${of.join(',\n      ')}\n    ]`);
  const kinds = ENCODE_KINDS.map((kind) => {
    const own = pages.filter((page) => page.kind === kind).map((page) => row(PAGE_COLUMNS.map((name) => page[name])));
    return `    "${kind}": ${rows(own)}`;
  });
  const lines = [
    ...Object.entries(head).map(([name, value]) => `  "${name}": ${JSON.stringify(value)}`),
    `  "pageColumns": ${JSON.stringify(PAGE_COLUMNS)}`,
    `  "pages": {\n${kinds.join(',\n')}\n  }`,
    `  "actionColumns": ${JSON.stringify(ACTION_COLUMNS)}`,
    `  "actions": ${rows(actions.map((one) => row(ACTION_COLUMNS.map((name) => one[name]))))}`,
  ];
  await writeFile(`${file}.new`, `{\n${lines.join(',\n')}\n}\n`);
  await rename(`${file}.new`, file);
}

/** @throws OnepassError `startup` naming the file: it is not there, or not one of `writeServiceTimes` */
export async function readServiceTimes(file: string): Promise<ServiceTimes> {
  const text = await readFile(file, 'utf8').catch((error) => {
    throw startupError(`${file} cannot be read: npm run plan -- --measure ${file} makes it`, error);
  });
  try {
    return parseServiceTimes(JSON.parse(text));
  } catch (error) {
    throw startupError(
      `${file} holds no service times of npm run plan -- --measure: ${(error as Error).message}`,
      error,
    );
  }
}

type Row = readonly number[];

function parseServiceTimes({ pageColumns, pages, actionColumns, actions, ...head }: Record<string, unknown>) {
  const columns = (name: string, found: unknown, wanted: readonly string[]) => {
    if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`its ${name} are not ${wanted.join(', ')}`);
  };
  columns('pageColumns', pageColumns, PAGE_COLUMNS);
  columns('actionColumns', actionColumns, ACTION_COLUMNS);
  const named = (names: readonly string[], row: Row) => {
    const whole = row.length === names.length && row.every((value) => Number.isFinite(value) && value >= 0);
    if (!whole) throw new Error(`a row is not ${names.length} numbers`);
    return Object.fromEntries(names.map((name, i) => [name, row[i]]));
  };
  const times = {
    ...(head as unknown as ServiceTimes),
    pages: ENCODE_KINDS.flatMap((kind) =>
      (pages as Record<EncodeKind, Row[]>)[kind].map((row) => ({ kind, ...named(PAGE_COLUMNS, row) })),
    ) as unknown as PageTimes[],
    actions: (actions as Row[]).map((row) => named(ACTION_COLUMNS, row)) as unknown as ActionTimes[],
  };
  for (const name of ['historyLength', 'hopMs', 'wakeMs', 'busySpeed'] as const) {
    if (!Number.isFinite(times[name])) throw new Error(`its ${name} is no number`);
  }
  for (const kind of ENCODE_KINDS) {
    if (!times.pages.some((page) => page.kind === kind)) throw new Error(`it holds no page of kind ${kind}`);
  }
  if (times.actions.length === 0) throw new Error('it holds no actions');
  return times;
}
