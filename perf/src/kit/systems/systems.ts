import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RankingService, RecommendationService, retrieval, UserEncoderService } from '@onepass/contracts';
import { Mesh } from '@onepass/local';
import { loadRelease } from '@onepass/release';
import { type DescribedService, measurementsAt } from '../load/index.js';
import type { Shape, SystemName } from '../measurements.js';
import { type KvSlots, kvSlots } from './kv-slots.js';
import type { RunningSystem } from './running-system.js';

/** Those that are Onepass's own services, told apart by settings alone. */
export type MeshSystemName = Exclude<SystemName, 'G' | 'Gkv'>;

export interface MeshSystem {
  /** Two: ranking reads the KV of a user-encoder of its own, as a model of its own would have. */
  readonly encoders: 1 | 2;
  /** Whether KV is kept from request to request. */
  readonly keepsKv: boolean;
  readonly description: string;
}

const TWO_MODELS =
  'Both models are the release: of the same size, and each encodes for itself, at the same time; retrieval does not wait for the ' +
  "ranking model's encode. Five processes, since the ranking model has a user-encoder of its own, with as many graph runs as any other.";

export const MESH_SYSTEMS: Readonly<Record<MeshSystemName, MeshSystem>> = {
  A: {
    encoders: 1,
    keepsKv: true,
    description:
      'One model: ranking reads the KV that retrieval was encoded with, and it is kept from request to request. Four processes. ' +
      'Its warm tier is off, so that A is the same as D.',
  },
  B: {
    encoders: 2,
    keepsKv: false,
    description: `Two separate models, nothing shared and nothing kept: each encodes the whole history in every request. ${TWO_MODELS}`,
  },
  Bprime: {
    encoders: 2,
    keepsKv: true,
    description:
      'Two separate models, nothing shared: each keeps KV of its own from request to request, in half as many slots as A has. ' +
      TWO_MODELS,
  },
  C: {
    encoders: 1,
    keepsKv: false,
    description:
      'One model: ranking reads the KV that retrieval was encoded with; nothing is kept, and every request encodes the whole history. ' +
      'Four processes.',
  },
  D: {
    encoders: 1,
    keepsKv: true,
    description:
      'One model, its KV shared by the stages and kept from request to request, without a warm tier. Four processes.',
  },
};

export interface SystemOptions {
  readonly releaseDir: string;
  /** KV that a system which keeps any may hold, all pools together, in MiB. */
  readonly kvMiB: number;
  /** Where systems keep histories, slates and logs, each in a folder of its name: one started again there finds them. */
  readonly folder: string;
  /** Each with a user-encoder and a ranking of its own, or two user-encoders; absent: 1. */
  readonly cells?: 1 | 2;
  /** For every process of every system: what `commonSettings` answers. */
  readonly settings: CommonSettings;
}

/** By name; all processes of all systems get the same. */
export interface CommonSettings extends Readonly<Record<string, string>> {
  readonly ONEPASS_BUDGET_MS: string;
  readonly ONEPASS_INFERENCE_IN_FLIGHT: string;
  readonly ONEPASS_INFERENCE_THREADS: string;
  readonly ONEPASS_KV_REST_MS: string;
  readonly ONEPASS_SLATES: string;
}

/** @param more in the place of these, or beside them */
export function commonSettings(shape: Shape, more: Readonly<Record<string, string>> = {}): CommonSettings {
  const budgetMs = String(budgetMsOf(shape));
  return {
    ONEPASS_BUDGET_MS: budgetMs,
    ONEPASS_INFERENCE_IN_FLIGHT: '2',
    ONEPASS_INFERENCE_THREADS: '1',
    // What the setting means: the longest that a page may still read a freed slot.
    ONEPASS_KV_REST_MS: budgetMs,
    ONEPASS_SLATES: 'on',
    // Whatever the environment says.
    ONEPASS_SWITCHES: '',
    ONEPASS_FAULTS: '',
    ...more,
  };
}

/** The shape that the gateway's default budget is for, and how far that may be raised. */
const USUAL: Shape = { n: 256, k: 200, layers: 4, width: 128 };
const BUDGET_MS = { usual: 300, most: 60_000 };

/** A page's time budget: for larger models more, as their matrix products are more, so that every shape has the same slack. */
export function budgetMsOf(shape: Shape): number {
  const products = ({ n, k, layers, width }: Shape) => (n + k) * layers * width ** 2;
  const ratio = products(shape) / products(USUAL);
  return Math.round(Math.min(BUDGET_MS.most, BUDGET_MS.usual * Math.max(1, ratio)));
}

/** The pools that a system is started with. @throws OnepassError as kvSlots does */
export function kvSlotsOf(
  name: MeshSystemName,
  model: Parameters<typeof kvSlots>[0],
  { kvMiB, cells = 1, settings }: Pick<SystemOptions, 'kvMiB' | 'cells' | 'settings'>,
): KvSlots {
  const { encoders, keepsKv } = MESH_SYSTEMS[name];
  const inFlight = Number(settings.ONEPASS_INFERENCE_IN_FLIGHT);
  return kvSlots(model, { kvMiB, keepsKv, pools: (encoders * cells) as 1 | 2 | 4, inFlight });
}

/**
 * Starts a system on free ports of 127.0.0.1.
 * @throws OnepassError `startup`, one sentence; nothing is left running
 */
export async function startSystem(name: MeshSystemName, options: SystemOptions): Promise<RunningSystem> {
  const { encoders, keepsKv, description } = MESH_SYSTEMS[name];
  const { releaseDir, settings, cells = 1 } = options;
  const { manifest } = await loadRelease(releaseDir);
  const { slots, kvMiB } = kvSlotsOf(name, manifest.model, options);
  const dataDir = join(options.folder, name);
  await mkdir(dataDir, { recursive: true });
  const switches = join(dataDir, 'switches.json');
  await writeFile(switches, JSON.stringify({ kv_reuse_off: !keepsKv }));
  const encoder = { ONEPASS_KV_SLOTS: String(slots), ONEPASS_SWITCHES: switches };
  const mesh = await Mesh.prepare({
    releaseDir,
    port: undefined,
    dataDir,
    cells,
    rankingEncoder: encoders === 2,
    settings,
    overrides: { 'user-encoder': encoder },
  });
  await mesh.start();
  return {
    name,
    description,
    address: mesh.address('gateway'),
    addresses: Object.fromEntries(mesh.plans.map(({ role, address }) => [role, address])),
    kvMiB,
    pids: () => mesh.pids(),
    measurements: () => measurementsOf(mesh),
    stop: () => mesh.stop(),
  };
}

const SERVICES: Readonly<Record<string, DescribedService>> = {
  gateway: RecommendationService,
  'user-encoder': UserEncoderService,
  retrieval: retrieval.RetrievalService,
  ranking: RankingService,
};

async function measurementsOf({ plans }: Mesh): Promise<Readonly<Record<string, Readonly<Record<string, number>>>>> {
  const described = plans.map(
    async ({ role, service, address }) => [role, await measurementsAt(address, SERVICES[service])] as const,
  );
  return Object.fromEntries(await Promise.all(described));
}
