import { startupError } from '@onepass/errors';
import { asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';

type File = Awaited<ReturnType<typeof asyncBufferFromFile>>;

/** Groups of rows held in memory. */
const HELD_GROUPS = 2;

/** The rows of an export's table by person, read a group of rows at a time. */
export class PersonRows<Row extends { readonly person: string | undefined }> {
  readonly #file: File;
  readonly #metadata: FileMetaData;
  /** First row of each group, then the number of all. */
  readonly #starts: readonly number[];
  /** By person ('' = nobody): the groups that hold rows of theirs. */
  readonly #groups = new Map<string, number[]>();
  readonly #held = new Map<number, Promise<Row[]>>();

  private constructor(file: File, metadata: FileMetaData, starts: readonly number[]) {
    this.#file = file;
    this.#metadata = metadata;
    this.#starts = starts;
  }

  /** @throws OnepassError `startup` naming the file that cannot be read. */
  static async open<Row extends { readonly person: string | undefined }>(path: string): Promise<PersonRows<Row>> {
    try {
      const file = await asyncBufferFromFile(path);
      const metadata = await parquetMetadataAsync(file);
      const starts = [0];
      for (const { num_rows } of metadata.row_groups) starts.push((starts.at(-1) as number) + Number(num_rows));
      const rows = new PersonRows<Row>(file, metadata, starts);
      for (let group = 0; group < metadata.row_groups.length; group++) {
        for (const { person } of await rows.#read(group, ['person'])) rows.#note(person ?? '', group);
      }
      return rows;
    } catch (error) {
      throw startupError(`${path} cannot be read: ${(error as Error).message}`, error);
    }
  }

  /** '' stands for nobody. */
  persons(): string[] {
    return [...this.#groups.keys()];
  }

  /** In the order of the file. */
  async of(person: string): Promise<Row[]> {
    const rows: Row[] = [];
    for (const group of this.#groups.get(person) ?? []) {
      rows.push(...(await this.#group(group)).filter((row) => (row.person ?? '') === person));
    }
    return rows;
  }

  #note(person: string, group: number): void {
    const groups = this.#groups.get(person);
    if (groups === undefined) this.#groups.set(person, [group]);
    else if (groups.at(-1) !== group) groups.push(group);
  }

  #group(group: number): Promise<Row[]> {
    const rows = this.#held.get(group) ?? this.#read(group);
    this.#held.delete(group);
    this.#held.set(group, rows);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= HELD_GROUPS) break;
      this.#held.delete(oldest);
    }
    return rows;
  }

  async #read(group: number, columns?: string[]): Promise<Row[]> {
    const rows = await parquetReadObjects({
      file: this.#file,
      metadata: this.#metadata,
      rowStart: this.#starts[group] as number,
      rowEnd: this.#starts[group + 1] as number,
      ...(columns && { columns }),
    });
    return rows.map((row) => withoutNulls(row) as Row);
  }
}

/** Absent is undefined here. */
function withoutNulls(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value as object).map(([name, inner]) => [name, withoutNulls(inner)]));
}
