import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import type { HistoryStore, SlateStore } from '@onepass/history';
import { fileWriter, parquetWriteRows } from 'hyparquet-writer';
import type { ExportManifest } from './manifest.js';
import { eventRow, slateRow } from './rows.js';
import {
  EVENTS,
  EVENTS_FILE,
  type EventRow,
  MANIFEST_FILE,
  SCHEMA_VERSION,
  SLATES,
  SLATES_FILE,
  type SlateRow,
  type Table,
} from './schema.js';

export interface ExportOptions {
  readonly history: HistoryStore;
  readonly slates: SlateStore;
  /** The directory to be made; an export that is there is replaced. */
  readonly out: string;
  /** Slates before it are left out, epoch ms. Histories are whole: a slate's reaches back. */
  readonly sinceMs?: number | undefined;
  /** Told now and then how far it is. */
  readonly progress?: (what: 'slates' | 'events', rows: number) => void;
}

const EVENTS_A_READ = 1_000;
const ROWS_A_LINE = 100_000;

/**
 * Writes slates and histories as Parquet, as schema.ts has them. It appears whole or not at all, and holds no more than a group of rows
 * in memory. Slates come first, so that the history of each is there.
 * @throws OnepassError `startup` naming `out` when it cannot be written or is something else; `unavailable` when a store cannot be read
 */
export async function exportLogs(options: ExportOptions): Promise<ExportManifest> {
  const out = resolve(options.out);
  await requireReplaceable(out);
  const draft = await draftOf(out);
  try {
    const tally = new Tally(options);
    await writeTable(join(draft, SLATES_FILE), SLATES, tally.slateRows());
    await writeTable(join(draft, EVENTS_FILE), EVENTS, tally.eventRows());
    const manifest = tally.manifest();
    await writeFile(join(draft, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await rm(out, { recursive: true, force: true });
    await rename(draft, out);
    return manifest;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Rows as they are read, counted. */
class Tally {
  readonly #options: ExportOptions;
  readonly #exportedMs = Date.now();
  readonly #releases = new Map<string, number>();
  readonly #counts = { events: 0, persons: 0, slates: 0, foreign_slates: 0, slates_with_outcomes: 0 };

  constructor(options: ExportOptions) {
    this.#options = options;
  }

  async *slateRows(): AsyncGenerator<SlateRow> {
    const { slates, sinceMs = 0 } = this.#options;
    for await (const slate of slates.all()) {
      if (slate.timeMs < sinceMs) continue;
      this.#counts.slates++;
      if (slate.foreign) this.#counts.foreign_slates++;
      else this.#releases.set(slate.releaseId, (this.#releases.get(slate.releaseId) ?? 0) + 1);
      if (slate.outcomes.length > 0) this.#counts.slates_with_outcomes++;
      this.#tell('slates');
      yield slateRow(slate);
    }
  }

  async *eventRows(): AsyncGenerator<EventRow> {
    const { history } = this.#options;
    for await (const person of history.persons()) {
      this.#counts.persons++;
      for (let after = 0; ; after += EVENTS_A_READ) {
        const { events } = await history.tail(person, after, EVENTS_A_READ);
        for (const event of events) {
          this.#counts.events++;
          this.#tell('events');
          yield eventRow(person, event);
        }
        if (events.length < EVENTS_A_READ) break;
      }
    }
  }

  manifest(): ExportManifest {
    return {
      schema_version: SCHEMA_VERSION,
      exported_ms: this.#exportedMs,
      since_ms: this.#options.sinceMs ?? null,
      ...this.#counts,
      releases: Object.fromEntries([...this.#releases].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  #tell(what: 'slates' | 'events'): void {
    const rows = this.#counts[what];
    if (rows % ROWS_A_LINE === 0) this.#options.progress?.(what, rows);
  }
}

async function writeTable(path: string, { columns, schema, groupRows }: Table, rows: AsyncIterable<object>) {
  const writer = fileWriter(path);
  const names = columns.map((name) => ({ name }));
  await parquetWriteRows({ writer, rows, columns: names, schema, rowGroupSize: groupRows, createdBy: 'onepass' });
}

/** Only an export may be replaced by one. */
async function requireReplaceable(out: string): Promise<void> {
  if ((await stat(out).catch(() => undefined)) === undefined) return;
  const manifest = await readFile(join(out, MANIFEST_FILE), 'utf8').catch(() => '');
  if (!manifest.includes('"schema_version"')) throw startupError(`--out ${out} exists and is not an export`);
}

/** Beside the export, so that it can be renamed. */
async function draftOf(out: string): Promise<string> {
  try {
    await mkdir(dirname(out), { recursive: true });
    return await mkdtemp(join(dirname(out), `.${basename(out)}-`));
  } catch (error) {
    throw startupError(`--out ${out} cannot be written: ${(error as Error).message}`, error);
  }
}
