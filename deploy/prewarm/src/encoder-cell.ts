import {
  type Connection,
  connectTo,
  type DescribeResponse,
  KvSource,
  type Transport,
  UserEncoderService,
} from '@onepass/contracts';
import { OnepassError, startupError, unavailable } from '@onepass/errors';
import type { ActivePerson } from '@onepass/history';
import type { Release } from '@onepass/release';
import { type CellLine, personKeyBytes } from '@onepass/routing';
import type { Outcome, Warmed } from './cost.js';

const DESCRIBE_MS = 5_000;
/** Nobody waits for an encode; one that takes so long has met a cell in trouble. */
const ENCODE_MS = 10_000;
/** Describe's names for what the KV pool has room for: people, and bytes of memory. */
const SLOTS = 'onepass.kv.slots.limit';
const MEMORY = 'onepass.kv.memory.limit';
/** And what a whole history takes of it. */
const SLOT = 'onepass.kv.slots.size';
/** Stages of an encode that are graph runs. */
const GRAPHS: ReadonlySet<string> = new Set(['query', 'encode']);

const OUTCOMES: Readonly<Record<KvSource, Outcome>> = {
  [KvSource.UNSPECIFIED]: 'empty',
  [KvSource.EMPTY]: 'empty',
  [KvSource.SLOT]: 'held',
  [KvSource.APPEND]: 'appended',
  [KvSource.RECOMPUTE]: 'encoded',
  [KvSource.TIER]: 'restored',
};

/** The user-encoder of one cell. */
export class EncoderCell {
  readonly name: string;
  /** People that its KV holds at one time; undefined = it does not say. */
  readonly holds: number | undefined;
  /** Bytes that their KV may take; undefined = as much as all of them need. */
  readonly bytes: number | undefined;
  /** Bytes of a whole history's KV there; undefined = it does not say. */
  readonly slotBytes: number | undefined;
  readonly #connection: Connection;
  readonly #releaseId: string;
  readonly #surface: string;

  private constructor(name: string, connection: Connection, about: DescribeResponse) {
    this.name = name;
    this.holds = about.measurements[SLOTS];
    this.bytes = about.measurements[MEMORY];
    this.slotBytes = about.measurements[SLOT];
    this.#connection = connection;
    this.#releaseId = about.releaseId;
    this.#surface = about.surfaces[0] ?? '';
  }

  /**
   * Asks the cell what it is.
   * @throws OnepassError `startup` when it cannot be reached, is none or serves another release
   */
  static async open({ name, encoder }: CellLine, transport: Transport, release: ReleaseAt): Promise<EncoderCell> {
    const connection = connectTo(encoder, { transport });
    try {
      const deadlineMs = Date.now() + DESCRIBE_MS;
      const about = await connection.client(UserEncoderService).describe({}, { deadlineMs });
      if (about.releaseId !== release.id) {
        throw startupError(
          `the cell ${name} serves release "${about.releaseId}", --release ${release.directory} is "${release.id}"`,
        );
      }
      return new EncoderCell(name, connection, about);
    } catch (thrown) {
      connection.close();
      const error = OnepassError.from(thrown);
      if (error.kind === 'startup' || error.kind === 'internal') throw error;
      throw startupError(`the cell ${name} does not say what it serves: ${error.message}`, error);
    }
  }

  /**
   * Brings the person's KV up to their history.
   * @throws OnepassError what the cell refuses with; `unavailable` also when it cannot read the history
   */
  async encode({ person }: ActivePerson, signal: AbortSignal): Promise<EncodedPerson> {
    const started = performance.now();
    const response = await this.#connection.client(UserEncoderService).encode(
      {
        releaseId: this.#releaseId,
        personKey: personKeyBytes(person),
        context: { surface: this.#surface, nowMs: BigInt(Date.now()) },
      },
      { signal, deadlineMs: Date.now() + ENCODE_MS, priority: 'batch' },
    );
    const callMs = performance.now() - started;
    const [degraded] = response.degraded;
    if (degraded !== undefined) throw unavailable(`the cell cannot read the history: ${degraded.detail}`);
    const { kv, kvSource, encodedTokens, stages } = response;
    const micros = stages.filter(({ stage }) => GRAPHS.has(stage)).reduce((sum, stage) => sum + stage.micros, 0);
    return {
      outcome: OUTCOMES[kvSource],
      tokens: kv?.length ?? 0,
      encodedTokens,
      computeMs: micros / 1_000,
      callMs,
      knowsPerson: kv !== undefined && kv.historySequence > 0n,
    };
  }

  close(): void {
    this.#connection.close();
  }
}

type ReleaseAt = Pick<Release, 'id' | 'directory'>;

export interface EncodedPerson extends Warmed {
  /** Whether the cell sees a history of the person. */
  readonly knowsPerson: boolean;
}
