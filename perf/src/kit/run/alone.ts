import { BareChain } from '../../bare-chain.js';
import { median } from '../../statistics.js';
import { sendLoad } from '../load/index.js';
import { CHAIN_CONCURRENCY } from '../report/index.js';
import { ShapeCompute } from '../shape/pure-compute.js';
import type { RunningSystem } from '../systems/running-system.js';
import { type Ground, optionsOf, pageFor, today } from './ground.js';
import { type Bed, roundsOf } from './plan.js';
import { gatewayTimes } from './prepare.js';

const GATEWAY_PAGES = 60;

/** Rounds of a bed in which what is timed alone is still to be timed. */
export function roundsToTimeAlone(bed: Bed, ground: Ground): readonly number[] {
  if (!bed.alone) return [];
  return roundsOf(bed).filter((round) => !ground.store.has(keyOf('pure', round, bed, ground)));
}

/** What is timed while every system is idle: the graphs alone, and where A runs its gateway's own time and a bare chain of its messages. */
export class Alone {
  readonly #bed: Bed;
  readonly #ground: Ground;
  readonly #compute: ShapeCompute;
  readonly #a: RunningSystem | undefined;
  readonly #chain: BareChain | undefined;

  /** The chain is loaded for some time, as the systems are before anything counts. */
  static async open(bed: Bed, ground: Ground, a: RunningSystem | undefined): Promise<Alone> {
    const { release, items, settings } = ground;
    const threads = Number(settings.ONEPASS_INFERENCE_THREADS);
    const compute = await ShapeCompute.open(release, items, bed.shape, { queries: 2, threads });
    const chain = a && (await BareChain.open(a.addresses ?? {}, release, pageFor(bed, ground)));
    const alone = new Alone(bed, ground, { compute, a, chain });
    if (chain) await alone.#load(chain, bed.heatSeconds);
    return alone;
  }

  private constructor(
    bed: Bed,
    ground: Ground,
    { compute, a, chain }: { compute: ShapeCompute; a: RunningSystem | undefined; chain: BareChain | undefined },
  ) {
    this.#bed = bed;
    this.#ground = ground;
    this.#compute = compute;
    this.#a = a;
    this.#chain = chain;
  }

  /** Keeps the round's findings, the graphs' last: a round that has them has them all. */
  async measure(round: number): Promise<void> {
    const bed = this.#bed;
    const ground = this.#ground;
    const { store } = ground;
    const { people, seconds, shape } = bed;
    ground.progress(`round ${round} of ${bed.rounds}: the graphs alone`);
    const pure = await this.#compute.measure(round, { calls: 200, seconds: 2 * seconds });
    const found = { date: today(), round, shape };
    if (this.#a) {
      const beyond = await gatewayTimes(this.#a, pageFor(bed, ground), { people, pages: GATEWAY_PAGES });
      await store.append('gateway', keyOf('gateway', round, bed, ground), { ...found, p50Ms: median(beyond) });
    }
    if (this.#chain) {
      const { cpuMs } = await this.#load(this.#chain, seconds);
      const all = Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0);
      await store.append('chain', keyOf('chain', round, bed, ground), { ...found, cpuMs: all });
    }
    await store.append('pure', keyOf('pure', round, bed, ground), pure);
  }

  #load(chain: BareChain, seconds: number) {
    const load = { kind: 'closed', concurrency: CHAIN_CONCURRENCY } as const;
    const target = { address: chain.address, pids: () => chain.pids(), degraded: async () => 0 };
    return sendLoad(load, target, { ...optionsOf({ load }, this.#bed, this.#ground, 1), seconds });
  }

  async close(): Promise<void> {
    await this.#chain?.close();
    await this.#compute.close();
  }
}

function keyOf(kind: 'pure' | 'gateway' | 'chain', round: number, { shape }: Bed, { store, release }: Ground): string {
  return store.keyOf({ kind, release: release.manifest.id, shape, round });
}
