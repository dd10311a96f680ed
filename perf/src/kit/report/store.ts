import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import type { LoadKind, Shape, SweepName, SystemName } from '../measurements.js';
import { type FindingKind, type FindingKinds, type ReportFindings, type RunIdentity, shapeKey } from './findings.js';
import { numbersOf } from './numbers.js';

const FILE = 'measurements.jsonl';

/** What one finding is of. */
export interface Subject {
  readonly kind: FindingKind;
  /** Id of the release that was measured. */
  readonly release: string;
  readonly shape: Shape;
  readonly round?: number;
  readonly system?: SystemName;
  readonly load?: LoadKind;
  readonly sweep?: { readonly name: SweepName; readonly value: number };
  /** Tells apart what nothing above does: a process, a name. */
  readonly detail?: string;
}

interface Line {
  readonly kind: FindingKind | 'complete';
  readonly key: string;
  readonly value?: unknown;
}

/**
 * Opens the findings of a run in `folder`, so that it goes on where one of the same identity was cut. A whole run is put aside
 * (measurements-1.jsonl, ...) and a new one begun, also with `fresh`; findings of another machine, version, setting or release stay in
 * the file and are not looked at.
 * @throws OnepassError `startup` where the folder cannot be written
 */
export async function openStore(
  folder: string,
  run: RunIdentity,
  { fresh = false }: { fresh?: boolean } = {},
): Promise<Store> {
  const path = join(folder, FILE);
  try {
    await mkdir(folder, { recursive: true });
    const read = async () => readLines(await readFile(path).catch(() => Buffer.alloc(0)));
    const before = (await read()).lines;
    if (isComplete(before, run) || (fresh && before.some(({ key }) => isOf(key, run))))
      await putAside(folder, before, run);
    const { lines, torn, end } = await read();
    const file = await open(path, 'a');
    // A torn line would swallow the next one.
    await truncate(path, end);
    return new Store(file, run, lines, torn);
  } catch (error) {
    throw startupError(`the findings in ${path} cannot be opened: ${(error as Error).message}`, error);
  }
}

/** Moves what is of this run into a file of its own; what is of others, which may go on some day, stays. */
async function putAside(folder: string, lines: readonly Line[], run: RunIdentity): Promise<void> {
  const names = await readdir(folder);
  let number = 1;
  while (names.includes(asideName(number))) number += 1;
  const write = async (name: string, some: readonly Line[]) => {
    await writeFile(join(folder, `${name}.new`), some.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await rename(join(folder, `${name}.new`), join(folder, name));
  };
  await write(
    asideName(number),
    lines.filter(({ key }) => isOf(key, run)),
  );
  await write(
    FILE,
    lines.filter(({ key }) => !isOf(key, run)),
  );
}

const asideName = (number: number) => `measurements-${number}.jsonl`;

/** Findings on disk, each a line that is flushed before the next thing is measured. */
export class Store {
  readonly #file: FileHandle;
  readonly #run: RunIdentity;
  readonly #lines: Map<string, Line>;
  readonly #others: number;
  readonly #torn: number;

  constructor(file: FileHandle, run: RunIdentity, lines: readonly Line[], torn: number) {
    this.#file = file;
    this.#run = run;
    const own = lines.filter(({ key }) => isOf(key, run));
    this.#lines = new Map(own.map((line) => [line.key, line]));
    this.#others = lines.length - own.length;
    this.#torn = torn;
  }

  /** How many findings are there already: 0 at the begin of a run. */
  get size(): number {
    return this.#lines.size;
  }

  /** The same for the same thing measured under the same release, machine, versions and settings. */
  keyOf(subject: Subject): string {
    return keyOf(this.#run, subject);
  }

  has(key: string): boolean {
    return this.#lines.has(key);
  }

  /** Keeps a finding; it is on disk when this returns. One of the same key is replaced. */
  append<K extends FindingKind>(kind: K, key: string, value: FindingKinds[K]): Promise<void> {
    return this.#write({ kind, key, value });
  }

  /** Says that nothing is missing: until then the findings are partial. */
  complete(): Promise<void> {
    return this.#write({ kind: 'complete', key: completeKey(this.#run) });
  }

  async #write(line: Line): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(line)}\n`);
    await this.#file.datasync();
    this.#lines.set(line.key, line);
  }

  /** All of this run, in the order in which it was found. */
  findings(): ReportFindings {
    return findingsOf(this.#run, [...this.#lines.values()], this.#notes());
  }

  #notes(): string[] {
    const torn = `${count(this.#torn, 'line')} of the findings could not be read, as of a run that was killed, and left out.`;
    const others = `${count(this.#others, 'finding')} of another machine, version, setting or release left out.`;
    return [...(this.#torn > 0 ? [torn] : []), ...(this.#others > 0 ? [others] : [])];
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;

/** What earlier whole runs of the same identity found, which were put aside: how much runs differ. */
export async function earlierFindings(folder: string, run: RunIdentity): Promise<ReportFindings[]> {
  const names = (await readdir(folder)).filter((name) => /^measurements-\d+\.jsonl$/.test(name)).sort();
  const runs = await Promise.all(names.map(async (name) => readLines(await readFile(join(folder, name))).lines));
  return runs
    .filter((lines) => isComplete(lines, run))
    .map((lines) => {
      const own = lines.filter(({ key }) => isOf(key, run));
      return findingsOf(run, [...new Map(own.map((line) => [line.key, line])).values()], []);
    });
}

function findingsOf(
  { releases, ...run }: RunIdentity,
  lines: readonly Line[],
  notes: readonly string[],
): ReportFindings {
  const [release] = releases;
  if (release === undefined) throw startupError('a run of the bench needs at least one release');
  const of = <K extends FindingKind>(kind: K) =>
    lines.filter((line) => line.kind === kind).map(({ value }) => value as FindingKinds[K]);
  const findings: ReportFindings = {
    ...run,
    release,
    releases,
    measurements: of('measurement'),
    pure: of('pure'),
    waterfalls: of('waterfall'),
    cpu: of('cpu'),
    flames: of('flame'),
    improvements: [],
    gateway: of('gateway'),
    chain: of('chain'),
    numbers: {},
    partial: !lines.some(({ kind }) => kind === 'complete'),
    notes: [...of('crossCheck').map(({ told }) => told), ...notes],
  };
  return { ...findings, numbers: numbersOf(findings) };
}

/** Parts of a key: kind, release, shape, ...; the run's fingerprint comes last. */
export function keyOf(run: RunIdentity, subject: Subject): string {
  const { kind, release, shape, system, load, sweep, round, detail } = subject;
  const parts = [
    kind,
    release,
    shapeKey(shape),
    system,
    load && describeLoad(load),
    sweep && `${sweep.name}=${sweep.value}`,
    detail,
    round === undefined ? undefined : `round ${round}`,
    fingerprint(run),
  ];
  return parts.filter((part) => part !== undefined).join(' / ');
}

export function describeLoad(load: LoadKind): string {
  if (load.kind === 'closed') return `closed c=${load.concurrency}`;
  return load.kind === 'open' ? `open ${load.qps}/s` : `trace of ${load.people} people, ${load.qps}/s`;
}

const completeKey = (run: RunIdentity) =>
  ['complete', run.releases.map(({ id }) => id).join('+'), fingerprint(run)].join(' / ');

/** Of machine, versions and settings: what every finding of a run has in common. */
function fingerprint({ machine, versions, settings, systems }: RunIdentity): string {
  const sorted = (object: object) => Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
  const told = [machine, versions, settings, systems].map(sorted);
  return createHash('sha256').update(JSON.stringify(told)).digest('hex').slice(0, 12);
}

function isOf(key: string, run: RunIdentity): boolean {
  const parts = key.split(' / ');
  if (parts.at(-1) !== fingerprint(run)) return false;
  return parts[0] === 'complete' ? key === completeKey(run) : run.releases.some(({ id }) => id === parts[1]);
}

const isComplete = (lines: readonly Line[], run: RunIdentity) => lines.some(({ key }) => key === completeKey(run));

/** Whole lines, how many are not, and where in the file the last whole line ends. */
function readLines(bytes: Buffer): { lines: Line[]; torn: number; end: number } {
  const end = bytes.lastIndexOf('\n') + 1;
  const lines: Line[] = [];
  let torn = end < bytes.length ? 1 : 0;
  for (const text of bytes.toString('utf8', 0, end).split('\n')) {
    if (text === '') continue;
    const line = parseLine(text);
    if (line === undefined) torn += 1;
    else lines.push(line);
  }
  return { lines, torn, end };
}

function parseLine(text: string): Line | undefined {
  try {
    // JSON has no NaN and writes null, which would count as 0.
    const line = JSON.parse(text, (_, value) => (value === null ? Number.NaN : value)) as Partial<Line>;
    return typeof line.kind === 'string' && typeof line.key === 'string' ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}
