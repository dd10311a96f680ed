import { join } from 'node:path';
import { connect, type OnepassClient } from '@onepass/client';
import { Mesh } from '@onepass/local';
import { readManifest } from './manifest.js';
import { PersonRows } from './person-rows.js';
import { feed, personOf } from './replay-history.js';
import { Scale } from './replay-scale.js';
import { askAgain } from './replay-slate.js';
import { EVENTS_FILE, type EventRow, SLATES_FILE, type SlateRow } from './schema.js';

/** Largest difference that is none: what design and laws call equal. */
export const TOLERANCE = 1e-4;

export interface ReplayReport {
  /** Slates compared whose history fits the window, and those of longer ones. */
  readonly whole: Scale;
  readonly longer: Scale;
  /** Slates that were not compared, by reason. */
  readonly leftOut: Readonly<Record<LeftOut, number>>;
}

/** Why a slate was not compared. */
export type LeftOut =
  | 'foreign'
  | 'another release'
  | 'not ranked'
  | 'made without its history'
  | 'items that the release does not know'
  | 'history not in the export';

export interface ReplayOptions {
  /** An export. */
  readonly directory: string;
  readonly releaseDir: string;
  /** Told now and then how far it is. */
  readonly progress?: (slates: number, of: number) => void;
}

const SLATES_A_LINE = 500;

/**
 * Starts a mesh of its own, gives it the exported events person by person, in order, and at every slate asks for the scores of its items as
 * of its time.
 * @throws OnepassError `startup` naming the file or the release
 */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const { directory, releaseDir, progress } = options;
  const manifest = await readManifest(directory);
  const events = await PersonRows.open<EventRow>(join(directory, EVENTS_FILE));
  const slates = await PersonRows.open<SlateRow>(join(directory, SLATES_FILE));
  // Whatever this machine's own mesh keeps its histories in, this one has its own.
  const stores = { ONEPASS_HISTORY: 'lmdb', ONEPASS_BUDGET_MS: '60000', ONEPASS_SLATES: 'off' };
  const overrides = { gateway: stores, 'user-encoder': stores };
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined, overrides });
  await mesh.start();
  const onepass = connect(mesh.address('gateway'), { tls: mesh.tls });
  try {
    const run = new Replay(onepass, await onepass.describe({}), (done) => {
      if (done % SLATES_A_LINE === 0) progress?.(done, manifest.slates);
    });
    for (const person of slates.persons()) await run.person(person, await slates.of(person), await events.of(person));
    return run;
  } finally {
    onepass.close();
    await mesh.stop();
  }
}

class Replay implements ReplayReport {
  readonly whole = new Scale();
  readonly longer = new Scale();
  readonly leftOut: Record<LeftOut, number> = {
    foreign: 0,
    'another release': 0,
    'not ranked': 0,
    'made without its history': 0,
    'items that the release does not know': 0,
    'history not in the export': 0,
  };
  readonly #onepass: OnepassClient;
  readonly #model: Awaited<ReturnType<OnepassClient['describe']>>;
  readonly #tell: (done: number) => void;
  #done = 0;

  constructor(
    onepass: OnepassClient,
    model: Awaited<ReturnType<OnepassClient['describe']>>,
    tell: (done: number) => void,
  ) {
    this.#onepass = onepass;
    this.#model = model;
    this.#tell = tell;
  }

  /** '' = nobody. */
  async person(person: string, slates: readonly SlateRow[], events: readonly EventRow[]): Promise<void> {
    const inOrder = [...slates].sort((a, b) =>
      Number(a.history_sequence - b.history_sequence || a.time_ms - b.time_ms),
    );
    let fed = 0;
    for (const slate of inOrder) {
      const reason = this.#reasonAgainst(slate, events.length);
      if (reason !== undefined) this.leftOut[reason]++;
      else {
        const sequence = Number(slate.history_sequence);
        await feed(this.#onepass, person, events.slice(fed, sequence));
        fed = Math.max(fed, sequence);
        await this.#compare(person, slate, events.slice(0, sequence));
      }
      this.#tell(++this.#done);
    }
  }

  async #compare(person: string, slate: SlateRow, history: readonly EventRow[]): Promise<void> {
    const differences = await askAgain(this.#onepass, person === '' ? undefined : personOf(person), slate, this.#model);
    if (differences === undefined) this.leftOut['items that the release does not know']++;
    else (added(history) > (this.#model.limits?.window ?? 0) ? this.longer : this.whole).add(differences);
  }

  #reasonAgainst(slate: SlateRow, events: number): LeftOut | undefined {
    if (slate.foreign) return 'foreign';
    if (slate.release_id !== this.#model.releaseId) return 'another release';
    if (slate.actions.length === 0 || slate.items.length === 0) return 'not ranked';
    if (slate.degraded.includes('ENCODER')) return 'made without its history';
    return slate.history_sequence > events ? 'history not in the export' : undefined;
  }
}

/** Events that may be tokens. */
function added(history: readonly EventRow[]): number {
  const takenBack = new Set(history.map((event) => event.retracts));
  return history.filter((event) => event.operation === 'add' && !takenBack.has(event.sequence)).length;
}
