import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, KvSource, type RecommendResponse, user, View } from '@onepass/client';
import { connectTo, RankingService, RecommendationService, retrieval, UserEncoderService } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { type Mesh, repositoryRoot } from '@onepass/local';
import type { BareChain } from './bare-chain.js';
import { type LoadResult, runGhz, writeProtoset } from './ghz.js';
import { cpuMs } from './machine.js';
import type { MeasuredPage } from './page.js';
import { personId } from './people.js';
import { median } from './statistics.js';

const METHOD = 'onepass.gateway.v1.RecommendationService/Recommend';
const CONNECTIONS = 8;

type ByRole = Readonly<Record<string, number>>;

/** One load, and what it cost. */
export interface Cost {
  readonly load: LoadResult;
  /** CPU that each process used, in ms a request. */
  readonly cpuMs: ByRole;
}

export interface Loaded extends Cost {
  /** Event loop lag of each process during the load, 99th percentile, in ms. */
  readonly lagP99Ms: ByRole;
}

/** Loads the mesh with pages for its people, and reads its processes while at it. */
export class Bench {
  readonly #mesh: Mesh;
  readonly #ghz: string;
  readonly #requests: string;
  readonly #protoset: string;
  readonly #seconds: number;

  /** @param folder where files for ghz may be written */
  static async open(
    mesh: Mesh,
    options: { ghz: string; page: MeasuredPage; people: number; seconds: number; folder: string },
  ): Promise<Bench> {
    const { surface, pageSize, candidates } = options.page;
    const body = Array.from({ length: options.people }, (_, person) => ({
      person: { user_id: personId(person) },
      surface,
      page_size: pageSize,
      candidates,
    }));
    const bench = new Bench(mesh, options);
    await writeFile(bench.#requests, JSON.stringify(body));
    await writeProtoset(repositoryRoot, bench.#protoset);
    return bench;
  }

  private constructor(mesh: Mesh, { ghz, seconds, folder }: { ghz: string; seconds: number; folder: string }) {
    this.#mesh = mesh;
    this.#ghz = ghz;
    this.#seconds = seconds;
    this.#requests = join(folder, 'requests.json');
    this.#protoset = join(folder, 'contract.binpb');
  }

  /** A closed loop of `concurrency` calls at any time. */
  async load(concurrency: number): Promise<Loaded> {
    const measuredBefore = await this.#measurements();
    const { load, cpuMs } = await this.#cost(this.#mesh.address('gateway'), this.#mesh.pids(), concurrency);
    const measured = await this.#measurements();
    const degraded = degradedStages(measured.gateway) - degradedStages(measuredBefore.gateway);
    return {
      // A degraded page costs less than a whole one: figures with such pages in them would flatter.
      load: degraded === 0 ? load : { ...load, errors: { ...load.errors, degraded } },
      cpuMs,
      lagP99Ms: mapRoles(measured, (role) => 1000 * (measured[role]?.['nodejs.eventloop.delay.p99'] ?? Number.NaN)),
    };
  }

  /** The same load on the bare chain. */
  loadBare(chain: BareChain, concurrency: number): Promise<Cost> {
    return this.#cost(chain.address, chain.pids(), concurrency);
  }

  async #cost(address: string, pids: ByRole, concurrency: number): Promise<Cost> {
    const cpu = () => mapRoles(pids, (role) => cpuMs(pids[role] ?? 0));
    const before = cpu();
    const load = await runGhz(this.#ghz, {
      address,
      method: METHOD,
      requests: this.#requests,
      protoset: this.#protoset,
      concurrency,
      connections: Math.min(concurrency, CONNECTIONS),
      seconds: this.#seconds,
    });
    const after = cpu();
    return { load, cpuMs: mapRoles(after, (role) => ((after[role] ?? 0) - (before[role] ?? 0)) / load.calls) };
  }

  /** What every process says of itself; gauges start anew with it. */
  async #measurements(): Promise<Record<string, Record<string, number>>> {
    const services = {
      gateway: RecommendationService,
      'user-encoder': UserEncoderService,
      retrieval: retrieval.RetrievalService,
      ranking: RankingService,
    };
    const described = Object.entries(services).map(async ([role, service]) => {
      const connection = connectTo(this.#mesh.address(role));
      try {
        const { measurements } = await connection.client(service as typeof RecommendationService).describe({});
        return [role, measurements] as const;
      } finally {
        connection.close();
      }
    });
    return Object.fromEntries(await Promise.all(described));
  }
}

/** Stages that failed so far and were gone around. A KV miss is not among them: its stages are done again. */
function degradedStages(gateway: Readonly<Record<string, number>> = {}): number {
  const failed = Object.entries(gateway).filter(([name]) => /^onepass\.stage\.failures(?!.*"kv_miss")/.test(name));
  return failed.reduce((sum, [, count]) => sum + count, 0);
}

function mapRoles(byRole: Readonly<Record<string, unknown>>, value: (role: string) => number): ByRole {
  return Object.fromEntries(Object.keys(byRole).map((role) => [role, value(role)]));
}

export interface WarmPages {
  /** Tokens that the KV of each person holds. */
  readonly past: number;
  readonly candidates: number;
  readonly queries: number;
  /** Median of each stage's time as the gateway sees it, one call at a time, in ms. */
  readonly stageMs: ByRole;
}

/** Tries a person's page gets to become whole and warm: after a start, the first ones may be late. */
const WARMING_TRIES = 20;

/**
 * Asks each person's page until it is whole and its KV held already, then `repeats` times more, and answers what a warm page
 * consists of.
 * @throws OnepassError `startup` when a page does not become so, or does not stay so
 */
export async function warmUp(
  address: string,
  page: MeasuredPage,
  { people, repeats }: { people: number; repeats: number },
): Promise<WarmPages> {
  const onepass = connect(address);
  const ask = (person: number) => onepass.recommend({ person: user(personId(person)), ...page, view: View.EXPLAIN });
  const stages = new Map<string, number[]>();
  let last: RecommendResponse | undefined;
  try {
    for (let person = 0; person < people; person += 1) {
      for (let tries = 1; coldness(await ask(person)) !== undefined && tries < WARMING_TRIES; tries += 1);
    }
    for (let call = 0; call < people * repeats; call += 1) {
      last = await ask(call % people);
      const problem = coldness(last);
      if (problem !== undefined) throw startupError(`a page that should be warm is not: ${problem}`);
      for (const { stage, micros } of last.stages) stages.set(stage, [...(stages.get(stage) ?? []), micros / 1000]);
    }
  } finally {
    onepass.close();
  }
  return {
    past: last?.explanation?.kvTokens ?? 0,
    candidates: last?.explanation?.ranked ?? 0,
    queries: last?.explanation?.outcomeBudgets.length ?? 0,
    stageMs: Object.fromEntries([...stages].map(([stage, values]) => [stage, median(values)])),
  };
}

/** Why a page is not a warm one; undefined when it is. */
function coldness(page: RecommendResponse): string | undefined {
  if (page.degraded.length > 0) return page.degraded.map((d) => d.detail).join('; ');
  return page.kvSource === KvSource.SLOT ? undefined : `its KV came from ${KvSource[page.kvSource]}`;
}
