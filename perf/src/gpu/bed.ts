import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import type {
  DeviceBuffer,
  DeviceEngine,
  DeviceGraph,
  HostArray,
  HostArrays,
  PreparedRun,
  Resident,
} from '@onepass/inference';
import { BedPeople, type BedSizes, OWN_PAGES } from './bed-people.js';
import type { GpuCase, ReadyCase, RunTimes } from './gpu-case.js';
import type { DeviceGraphs } from './graphs.js';

/** A case that is bound to memory. */
export interface BedCase extends ReadyCase {
  /** As `ReadyCase.outputs`; with other made-up numbers for each variant. */
  outputs(variant?: number): Promise<Float32Array>;
  /** Rows of every pool that it writes. */
  readonly writes: readonly number[];
  /** Gives its buffers back; not while one of its runs is under way. */
  close(): void;
}

/** Pools on a device with some people's KV in them, and the graphs that read and write it, ready to be timed. */
export class TrunkBed {
  /** By the name of the graphs' inputs: key_pool_0, value_pool_0 and so on. */
  readonly pools = new Map<string, DeviceBuffer>();
  readonly #engine: DeviceEngine;
  readonly #graphs: DeviceGraphs;
  readonly #sizes: BedSizes;
  readonly #people: BedPeople;
  readonly #loaded = new Map<string, Promise<DeviceGraph>>();

  /** @throws OnepassError `startup` when the device has no memory for the pools */
  static async open(engine: DeviceEngine, graphs: DeviceGraphs, sizes: BedSizes): Promise<TrunkBed> {
    const bed = new TrunkBed(engine, graphs, sizes);
    for (let layer = 0; layer < graphs.description.layers; layer++) {
      for (const part of ['key', 'value']) {
        bed.pools.set(`${part}_pool_${layer}`, await engine.allocate(bed.poolBytes));
      }
    }
    return bed;
  }

  private constructor(engine: DeviceEngine, graphs: DeviceGraphs, sizes: BedSizes) {
    this.#engine = engine;
    this.#graphs = graphs;
    this.#sizes = sizes;
    this.#people = new BedPeople(graphs.description, sizes);
  }

  get pageTokens(): number {
    return this.#graphs.description.pageTokens;
  }

  /** Tokens held of each person. */
  get tokens(): number {
    return this.#sizes.n;
  }

  get pageBytes(): number {
    const { width, dtype } = this.#graphs.description;
    return this.pageTokens * width * (dtype === 'float16' ? 2 : 4);
  }

  /** Everybody's KV, without pages that are nobody's. */
  get kvBytes(): number {
    return this.pools.size * this.#sizes.batch * this.#people.pagesOfPerson * this.pageBytes;
  }

  /** Of one pool. */
  get poolBytes(): number {
    const { batch, sparePages = 0 } = this.#sizes;
    return (OWN_PAGES + batch * this.#people.pagesOfPerson + sparePages) * this.pageBytes;
  }

  /** Whether this graph's runs are captured, and else why not. */
  async capture(file: string): Promise<{ readonly on: boolean; readonly reason: string }> {
    return (await this.load(file, true)).capture;
  }

  /** Once for each file, captured and not. @throws OnepassError `startup` */
  load(file: string, capture: boolean): Promise<DeviceGraph> {
    const key = `${file} ${capture}`;
    const known = this.#loaded.get(key);
    if (known !== undefined) return known;
    const loading = this.#engine.load(join(this.#graphs.folder, file), { capture });
    this.#loaded.set(key, loading);
    return loading;
  }

  /**
   * Binds a case to memory and warms it. @throws OnepassError `startup` when the device has no memory or no kernel for it
   * @param first the first person of its batch
   */
  async prepare(asked: GpuCase, first = 0): Promise<BedCase> {
    const graph = await this.load(this.fileOf(asked), asked.captured);
    const fromHost = asked.timed === 'rank_host_kv';
    const { resident, own } = fromHost ? { resident: {}, own: [] } : await this.#resident(graph, asked);
    const fill = this.#people.fill(asked, 0, first, fromHost ? await this.#poolsOnHost() : {});
    let prepared: PreparedRun;
    try {
      prepared = await graph.prepare(this.#dimensions(asked), resident, fill);
    } catch (error) {
      for (const buffer of own) buffer.close();
      throw error;
    }
    const writes = ['encode', 'append', 'prefill'].includes(asked.timed) ? this.#people.targetsOf(asked, first) : [];
    return {
      case: asked,
      writes: [...writes].map(Number),
      time: (runs) => timesOf(prepared, fill, runs),
      outputs: async (variant = 0) => {
        const other = variant === 0 ? fill : this.#people.fill(asked, variant, first);
        return (await prepared.run(other, outputOf)).value;
      },
      close: () => {
        prepared.close();
        for (const buffer of own) buffer.close();
      },
    };
  }

  /** Of the graph that a case runs. @throws OnepassError `startup` when there is none */
  fileOf({ timed, attention }: GpuCase): string {
    const { graphs } = this.#graphs.description;
    if (timed === 'gather') return graphs.gather;
    if (timed === 'kv_copy') throw startupError('a copy of KV alone is timed in PyTorch');
    const kind = timed === 'append' ? 'encode' : timed === 'rank_host_kv' ? 'rank' : timed;
    const file = graphs[kind]?.[attention];
    if (file === undefined) throw startupError(`the device graphs have no ${kind} with attention "${attention}"`);
    return file;
  }

  #dimensions({ timed, batch, rows }: GpuCase): Record<string, number> {
    const { n, k, contexts, slates } = this.#sizes;
    const { pageTokens } = this.#graphs.description;
    const pools = { g: this.#people.pagesOfPerson, r: this.poolBytes / (this.pageBytes / pageTokens) };
    const asked = { s: slates, c: contexts, k };
    if (timed === 'gather') return { b: batch, ...pools, p: pools.g * pageTokens };
    if (timed === 'recompute') return { b: batch, n, ...asked };
    if (timed === 'prefill') return { b: batch, m: rows, r: pools.r };
    if (timed === 'encode' || timed === 'append') return { b: batch, m: rows, ...pools };
    return { b: batch, ...asked, ...pools };
  }

  /** Pools under every name that the graph has for them; of a gather its outputs too (`own`), which nobody wants in host memory. */
  async #resident(graph: DeviceGraph, { timed, batch }: GpuCase): Promise<{ resident: Resident; own: DeviceBuffer[] }> {
    const resident: Record<string, DeviceBuffer> = {};
    const own: DeviceBuffer[] = [];
    for (const { name } of [...graph.inputs, ...graph.outputs]) {
      const pool = this.pools.get(name.replace('_pool_out_', '_pool_'));
      if (pool !== undefined) resident[name] = pool;
      else if (timed === 'gather' && name.startsWith('gathered_')) {
        resident[name] = await this.#engine.allocate(batch * this.#people.pagesOfPerson * this.pageBytes);
        own.push(resident[name]);
      }
    }
    return { resident, own };
  }

  async #poolsOnHost(): Promise<HostArrays> {
    const Kind = this.#graphs.description.dtype === 'float16' ? Uint16Array : Float32Array;
    const pools: Record<string, HostArray> = {};
    for (const [name, pool] of this.pools) {
      pools[name] = new Kind(pool.bytes / Kind.BYTES_PER_ELEMENT);
      await this.#engine.read(pool, 0, pools[name]);
    }
    return pools;
  }
}

async function timesOf(prepared: PreparedRun, fill: (inputs: HostArrays) => void, runs: number): Promise<RunTimes> {
  const times: { deviceMicros: number[]; wallMicros: number[] } = { deviceMicros: [], wallMicros: [] };
  for (let i = 0; i < runs; i++) {
    const began = performance.now();
    const { timing } = await prepared.run(fill, () => {});
    times.deviceMicros.push(timing.deviceMicros);
    times.wallMicros.push(1000 * (performance.now() - began));
  }
  return times;
}

/** Hidden states or probabilities, copied: the memory is the run's. */
function outputOf({ probabilities, hidden }: HostArrays): Float32Array {
  return Float32Array.from((probabilities ?? hidden ?? []) as Float32Array);
}
