import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import type { DeviceBuffer, DeviceEngine, DeviceGraph, HostArray, HostArrays, Resident } from '@onepass/inference';
import type { GpuCase, ReadyCase, RunTimes } from './gpu-case.js';
import { type DeviceGraphs, SEED } from './graphs.js';
import { type MadeUpInputs, madeUpInputs } from './made-up.js';

/** People and slates of a bed; each person holds n tokens. */
export interface BedSizes {
  /** The most people in one run. */
  readonly batch: number;
  readonly n: number;
  readonly k: number;
  readonly contexts: number;
  readonly slates: number;
}

/** Page of zeros, and the one that takes rows of padding. */
const OWN_PAGES = 2;
/** Steps through all pages when there is no common divisor: nobody's pages lie side by side, as after some time of serving. */
const STRIDE = 7_919;

/** Pools on a device with some people's KV in them, and the graphs that read and write it, ready to be timed. */
export class TrunkBed {
  readonly #engine: DeviceEngine;
  readonly #graphs: DeviceGraphs;
  readonly #sizes: BedSizes;
  readonly #inputs: MadeUpInputs;
  /** By the name of the graphs' inputs: key_pool_0, value_pool_0 and so on. */
  readonly #pools = new Map<string, DeviceBuffer>();
  readonly #loaded = new Map<string, Promise<DeviceGraph>>();
  /** Pages of each person. */
  readonly #pages: BigInt64Array[];

  /** @throws OnepassError `startup` when the device has no memory for the pools */
  static async open(engine: DeviceEngine, graphs: DeviceGraphs, sizes: BedSizes): Promise<TrunkBed> {
    const bed = new TrunkBed(engine, graphs, sizes);
    for (let layer = 0; layer < graphs.description.layers; layer++) {
      for (const part of ['key', 'value']) {
        bed.#pools.set(`${part}_pool_${layer}`, await engine.allocate(bed.#poolBytes));
      }
    }
    return bed;
  }

  private constructor(engine: DeviceEngine, graphs: DeviceGraphs, sizes: BedSizes) {
    this.#engine = engine;
    this.#graphs = graphs;
    this.#sizes = sizes;
    const { columns, embedding } = graphs.description;
    this.#inputs = madeUpInputs({ ...sizes, columns, embedding }, SEED);
    const each = this.#pagesOfPerson;
    const all = sizes.batch * each;
    const stride = all % STRIDE === 0 ? 1 : STRIDE;
    this.#pages = Array.from({ length: sizes.batch }, (_, person) =>
      BigInt64Array.from({ length: each }, (_, page) => BigInt(OWN_PAGES + (((person * each + page) * stride) % all))),
    );
  }

  /** Everybody's KV, without page 0 and 1. */
  get kvBytes(): number {
    return this.#pools.size * (this.#poolBytes - this.#pageBytes * OWN_PAGES);
  }

  get poolBytes(): number {
    return this.#pools.size * this.#poolBytes;
  }

  /** Whether this graph's runs are captured, and else why not. */
  async capture(file: string): Promise<{ readonly on: boolean; readonly reason: string }> {
    return (await this.#load(file, true)).capture;
  }

  /** Binds a case to memory and warms it. @throws OnepassError `startup` when the device has no memory or no kernel for it */
  async prepare(asked: GpuCase): Promise<ReadyCase> {
    const graph = await this.#load(this.#file(asked), asked.captured);
    const resident = asked.timed === 'rank_host_kv' ? {} : await this.#resident(graph, asked);
    const fill = this.#fill(asked, asked.timed === 'rank_host_kv' ? await this.#poolsOnHost() : {});
    const prepared = await graph.prepare(this.#dimensions(asked), resident, fill);
    const run = async <T>(read: (outputs: HostArrays) => T) => {
      const began = performance.now();
      const { value, timing } = await prepared.run(fill, read);
      return { value, device: timing.deviceMicros, wall: 1000 * (performance.now() - began) };
    };
    return {
      case: asked,
      time: async (runs) => {
        const times: { deviceMicros: number[]; wallMicros: number[] } = { deviceMicros: [], wallMicros: [] };
        for (let i = 0; i < runs; i++) {
          const { device, wall } = await run(() => {});
          times.deviceMicros.push(device);
          times.wallMicros.push(wall);
        }
        return times satisfies RunTimes;
      },
      outputs: async () => (await run(outputOf)).value,
    };
  }

  get #pagesOfPerson(): number {
    return Math.ceil(this.#sizes.n / this.#graphs.description.pageTokens);
  }

  get #pageBytes(): number {
    const { pageTokens, width, dtype } = this.#graphs.description;
    return pageTokens * width * (dtype === 'float16' ? 2 : 4);
  }

  get #poolBytes(): number {
    return (OWN_PAGES + this.#sizes.batch * this.#pagesOfPerson) * this.#pageBytes;
  }

  #file({ timed, attention }: GpuCase): string {
    const { graphs } = this.#graphs.description;
    if (timed === 'gather') return graphs.gather;
    const kind = timed === 'append' ? 'encode' : timed === 'rank_host_kv' ? 'rank' : timed;
    const file = graphs[kind]?.[attention];
    if (file === undefined) throw startupError(`the device graphs have no ${kind} with attention "${attention}"`);
    return file;
  }

  #load(file: string, capture: boolean): Promise<DeviceGraph> {
    const key = `${file} ${capture}`;
    const known = this.#loaded.get(key);
    if (known !== undefined) return known;
    const loading = this.#engine.load(join(this.#graphs.folder, file), { capture });
    this.#loaded.set(key, loading);
    return loading;
  }

  #dimensions({ timed, batch, rows }: GpuCase): Record<string, number> {
    const { n, k, contexts, slates } = this.#sizes;
    const { pageTokens } = this.#graphs.description;
    const pools = { g: this.#pagesOfPerson, r: this.#poolBytes / (this.#pageBytes / pageTokens) };
    const asked = { s: slates, c: contexts, k };
    if (timed === 'gather') return { b: batch, ...pools, p: pools.g * pageTokens };
    if (timed === 'recompute') return { b: batch, n, ...asked };
    if (timed === 'prefill') return { b: batch, m: rows, r: pools.r };
    if (timed === 'encode' || timed === 'append') return { b: batch, m: rows, ...pools };
    return { b: batch, ...asked, ...pools };
  }

  /** Pools under every name that the graph has for them; of a gather its outputs too, which nobody wants in host memory. */
  async #resident(graph: DeviceGraph, { timed, batch }: GpuCase): Promise<Resident> {
    const resident: Record<string, DeviceBuffer> = {};
    for (const { name } of [...graph.inputs, ...graph.outputs]) {
      const pool = this.#pools.get(name.replace('_pool_out_', '_pool_'));
      if (pool !== undefined) resident[name] = pool;
      else if (timed === 'gather' && name.startsWith('gathered_')) {
        resident[name] = await this.#engine.allocate(batch * this.#pagesOfPerson * this.#pageBytes);
      }
    }
    return resident;
  }

  /**
   * The same numbers for the same person in every case: what is written twice is written alike. `once`: inputs that the first run gets and that stay for the
   * later ones, whose memory is the same, so that only the copy to the device is timed.
   */
  #fill({ timed, batch, rows }: GpuCase, once: HostArrays): (inputs: HostArrays) => void {
    const { n, contexts } = this.#sizes;
    const held = timed === 'append' ? n - rows : 0;
    const people = Array.from({ length: batch }, (_, person) => person);
    const known: Record<string, HostArray> = {
      rows: this.#rowsOf(people, timed === 'append' ? rows : n),
      context: this.#inputs.context,
      candidates: this.#inputs.candidates,
      candidate_row: this.#inputs.candidateRow,
      lengths: filled(batch, timed === 'encode' || timed === 'append' ? held : n),
      counts: filled(batch, rows),
      context_counts: filled(batch * this.#sizes.slates, contexts),
      pages: concatenated(people.map((person) => this.#pages[person]!)),
      targets: concatenated(people.map((person) => this.#targets(person, held, rows))),
    };
    let isFirst = true;
    return (inputs) => {
      for (const [name, into] of Object.entries(inputs)) {
        if (!isFirst && once[name] !== undefined) continue;
        const from = known[name] ?? once[name];
        if (from === undefined)
          throw startupError(`the device graphs have an input "${name}" that this bench does not know`);
        (into as Float32Array).set(from.subarray(0, into.length) as Float32Array);
      }
      isFirst = false;
    };
  }

  /** The last `count` rows of each person's past. */
  #rowsOf(people: readonly number[], count: number): Float32Array {
    const { columns } = this.#graphs.description;
    const { n } = this.#sizes;
    const all = new Float32Array(people.length * count * columns);
    people.forEach((person, i) => {
      const end = (person + 1) * n * columns;
      all.set(this.#inputs.rows.subarray(end - count * columns, end), i * count * columns);
    });
    return all;
  }

  /** Pool rows of a person's tokens from `held` on. */
  #targets(person: number, held: number, count: number): BigInt64Array {
    const tokens = this.#graphs.description.pageTokens;
    const pages = this.#pages[person]!;
    return BigInt64Array.from({ length: count }, (_, i) => {
      const token = held + i;
      return pages[Math.floor(token / tokens)]! * BigInt(tokens) + BigInt(token % tokens);
    });
  }

  async #poolsOnHost(): Promise<HostArrays> {
    const Kind = this.#graphs.description.dtype === 'float16' ? Uint16Array : Float32Array;
    const pools: Record<string, HostArray> = {};
    for (const [name, pool] of this.#pools) {
      pools[name] = new Kind(pool.bytes / Kind.BYTES_PER_ELEMENT);
      await this.#engine.read(pool, 0, pools[name]);
    }
    return pools;
  }
}

const filled = (count: number, value: number) => new BigInt64Array(count).fill(BigInt(value));

function concatenated(parts: readonly BigInt64Array[]): BigInt64Array {
  const all = new BigInt64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Hidden states or probabilities, copied: the memory is the run's. */
function outputOf({ probabilities, hidden }: HostArrays): Float32Array {
  return Float32Array.from((probabilities ?? hidden ?? []) as Float32Array);
}
