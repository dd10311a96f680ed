// A device cell, and a user-encoder and a ranking that share memory, over the same histories: for tests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { readSettings } from '@onepass/config';
import {
  createClient,
  EmbeddingType,
  type EncodeRequestSchema,
  type EncodeResponse,
  openEdge,
  RankingService,
  UserEncoderService,
} from '@onepass/contracts';
import { encodeEmbeddings } from '@onepass/embeddings';
import { type HistoryStore, type NewEvent, openLmdbHistory } from '@onepass/history';
import { rankingSettings, startRanking } from '@onepass/ranking';
import { type Items, loadRelease, openItems, type Release } from '@onepass/release';
import { personKey } from '@onepass/routing';
import { DEVICE_GRAPHS, SMOKE_RELEASE } from '@onepass/testing';
import { userEncoderProgram } from '@onepass/user-encoder';
import { deviceCellProgram, type RunningCell } from './device-cell.js';

export const NOW = Date.now();
export const HOUR = 3_600_000;

type EncodeMore = MessageInitShape<typeof EncodeRequestSchema>;

/** What a person's page is made of. */
export interface Scored {
  readonly encoded: EncodeResponse;
  /** [k x A]. */
  readonly probabilities: Float32Array;
}

/** Both stages of one cell, as the gateway calls them. */
export class CellClient {
  readonly encoder: ReturnType<typeof createClient<typeof UserEncoderService>>;
  readonly ranking: ReturnType<typeof createClient<typeof RankingService>>;
  readonly #release: Release;

  constructor(release: Release, encoder: string, ranking: string) {
    this.#release = release;
    this.encoder = createClient(UserEncoderService, encoder);
    this.ranking = createClient(RankingService, ranking);
  }

  encode(person: string | undefined, more: EncodeMore = {}): Promise<EncodeResponse> {
    const usual: EncodeMore = {
      releaseId: this.#release.id,
      ...(person !== undefined && { person: user(person) }),
      context: { surface: 'home', nowMs: BigInt(NOW) },
      queries: [{ outcome: 'any' }, { outcome: this.#release.vocabulary.actions.names[0]!, offsetMs: BigInt(HOUR) }],
    };
    return this.encoder.encode(Object.assign(usual, more));
  }

  /** @param candidates [k x E] */
  async rank(encoded: EncodeResponse, candidates: Float32Array): Promise<Float32Array> {
    const dimension = this.#release.manifest.model.itemDimension;
    const { probabilities } = await this.ranking.rank({
      kv: encoded.kv!,
      context: encoded.context!,
      candidates: encodeEmbeddings(candidates, dimension, EmbeddingType.F32),
      kvSource: encoded.kvSource,
    });
    return new Float32Array(Uint8Array.from(probabilities).buffer);
  }

  async score(person: string | undefined, candidates: Float32Array, more: EncodeMore = {}): Promise<Scored> {
    const encoded = await this.encode(person, more);
    return { encoded, probabilities: await this.rank(encoded, candidates) };
  }

  close(): void {
    this.encoder.close();
    this.ranking.close();
  }
}

export interface TwoCells {
  readonly release: Release;
  readonly items: Items;
  readonly history: HistoryStore;
  readonly running: RunningCell;
  readonly device: CellClient;
  readonly shared: CellClient;
  readonly environment: Readonly<Record<string, string>>;
  /** Of so many items. [k x E] */
  candidates(count: number): Float32Array;
  /** Past actions and queries of a person, an hour apart, the first being number `from`. */
  actions(count: number, from?: number): NewEvent[];
  append(person: string, events: readonly NewEvent[]): Promise<void>;
  end(): Promise<void>;
}

export const user = (value: string) => ({ id: { case: 'userId' as const, value } });
export const keyOf = (person: string) => personKey(user(person))!;

export async function startTwoCells(own: Readonly<Record<string, string>> = {}): Promise<TwoCells> {
  const root = mkdtempSync(join(tmpdir(), 'onepass-device-cell-'));
  const environment = {
    ONEPASS_PORT: '0',
    ONEPASS_RANKING_PORT: '0',
    ONEPASS_RELEASE_DIR: SMOKE_RELEASE,
    ONEPASS_DATA_DIR: join(root, 'data'),
    ONEPASS_CELL_DIR: join(root, 'cell'),
    ONEPASS_DEVICE_GRAPHS: DEVICE_GRAPHS.smoke,
    ONEPASS_EXECUTION_PROVIDER: 'cpu',
    ONEPASS_LOG_LEVEL: 'silent',
    ONEPASS_KV_SLOTS: '16',
    ...own,
  };
  const release = await loadRelease(SMOKE_RELEASE);
  const items = await openItems(release);
  const encoder = await userEncoderProgram.start(environment);
  const settings = readSettings(rankingSettings, environment);
  const ranking = await startRanking(settings, release, await openEdge('ranking', settings));
  const running = (await deviceCellProgram.start(environment)) as RunningCell;
  const history = openLmdbHistory(join(root, 'data', 'history'));
  const device = new CellClient(release, running.address, running.rankingAddress);
  const shared = new CellClient(release, encoder.address, ranking.address);
  return {
    ...{ release, items, history, running, device, shared, environment },
    candidates: (count) => candidatesOf(release, items, count),
    actions: (count, from = 0) => actionsOf(release, items, count, from),
    append: async (person, events) => {
      await history.append(keyOf(person), events);
    },
    end: async () => {
      device.close();
      shared.close();
      for (const role of [running, ranking, encoder]) await role.stop();
      await history.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

function candidatesOf(release: Release, items: Items, count: number): Float32Array {
  const dimension = release.manifest.model.itemDimension;
  const rows = new Float32Array(count * dimension);
  for (let i = 0; i < count; i++) rows.set(items.embedding((i * 11) % items.count), i * dimension);
  return rows;
}

function actionsOf({ vocabulary }: Release, items: Items, count: number, from: number): NewEvent[] {
  const actions = vocabulary.actions.names;
  const surfaces = vocabulary.surfaces.names;
  return Array.from({ length: count }, (_, at) => {
    const i = from + at;
    return {
      eventId: `e${i}`,
      operation: 'add',
      ...(i % 4 === 2 ? { queryText: `query number ${i % 3}` } : { itemId: items.ids[(i * 7) % items.count]! }),
      actions: [actions[i % actions.length]!],
      surface: surfaces[i % surfaces.length]!,
      timeMs: NOW - 1000 * HOUR + i * HOUR,
    };
  });
}

export function largestDifference(one: Float32Array, other: Float32Array): number {
  if (one.length !== other.length) return Number.POSITIVE_INFINITY;
  return one.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
}
