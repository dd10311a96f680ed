import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceEngine } from '@onepass/inference';
import { TrunkBed } from './bed.js';
import { PAGE, peerCases, stagesOf } from './bench-cases.js';
import { fastest, fastestEncode, figuresOf } from './figures.js';
import type { ComparedCase, GpuFindings } from './findings.js';
import { describeCase, type GpuCase, type ReadyCase } from './gpu-case.js';
import type { GpuMachine } from './gpu-machine.js';
import { type DeviceGraphs, SEED } from './graphs.js';
import type { BenchShape, Dtype } from './options.js';
import { Peers } from './peers.js';
import { Reasons } from './reasons.js';
import { besideReference, referenceProbabilities } from './reference.js';
import { FULL_ROUND, Rounds, SMOKE_ROUND } from './rounds.js';
import { sentenceOf } from './sentence.js';

export interface MeasureTerms {
  readonly engine: DeviceEngine;
  readonly machine: GpuMachine;
  readonly shape: BenchShape;
  readonly python: string;
  /** Folder of ONNX Runtime's libraries: a process can load one only. */
  readonly libraries: string | undefined;
  /** Makes device graphs of the shape; absent `attention` = every kind. */
  graphs(dtype: Dtype, attention?: readonly string[]): Promise<DeviceGraphs>;
  readonly rounds: number;
  readonly smoke: boolean;
  /** As `performance.now()` counts: what would not end before it is left out. Absent = there is time. */
  readonly endAt?: number | undefined;
  progress(line: string): void;
  /** After each round and each comparison. */
  keep(findings: GpuFindings): Promise<void>;
}

/** For PyTorch to compile, where nothing else is said. */
const PEER_LIMIT_MS = 600_000;
/** Of the time there is, for PyTorch's own rounds, comparing and the end. */
const RESERVE_MS = 25_000;
/** With less time than that left, PyTorch's cases come before the rest of ours. */
const SHORT_MS = 180_000;

/** Prepares everything, measures it in turns, and compares probabilities with float32 on the CPU. What was found until then is told after each step. */
export async function measureTimes(terms: MeasureTerms): Promise<GpuFindings> {
  const graphs = await terms.graphs(terms.shape.dtype);
  const bed = await TrunkBed.open(terms.engine, graphs, { ...terms.shape, ...PAGE });
  const bench = new Bench(terms, graphs, bed);
  try {
    return await bench.run();
  } finally {
    await bench.close();
  }
}

class Bench {
  readonly #terms: MeasureTerms;
  readonly #graphs: DeviceGraphs;
  readonly #bed: TrunkBed;
  readonly #notes: string[] = [];
  readonly #compared: ComparedCase[] = [];
  readonly #rounds: Rounds;
  readonly #peers: Peers;
  readonly #startsWith: number;
  readonly #endAt: number;
  #takenBytes = 0;
  #reference: Promise<Float32Array> | undefined;
  #isDone = false;

  constructor(terms: MeasureTerms, graphs: DeviceGraphs, bed: TrunkBed) {
    this.#terms = terms;
    this.#graphs = graphs;
    this.#bed = bed;
    this.#endAt = terms.endAt ?? Number.POSITIVE_INFINITY;
    this.#startsWith = terms.engine.memory().freeBytes + bed.pools.size * bed.poolBytes;
    this.#rounds = new Rounds({
      effort: terms.smoke ? SMOKE_ROUND : FULL_ROUND,
      endAt: terms.endAt,
      progress: terms.progress,
      failed: ({ case: of }, error) => this.#note(`${describeCase(of)} failed: ${sentenceOf(error)}`),
      onRound: () => this.#keep(),
    });
    this.#peers = this.#openPeers();
  }

  async run(): Promise<GpuFindings> {
    const stages = await this.#stages();
    for (const [i, { name, cases }] of stages.entries()) {
      if (i > 0 && this.#leftMs < SHORT_MS) await this.#measurePeers();
      if (this.#leftMs < 0) {
        this.#note(`${name}: left out, no time was left`);
        continue;
      }
      const ready = await this.#prepare(cases);
      await this.#measure(name, ready);
      if (i === 0) await this.#compare();
      if (this.#peers.isSettled) await this.#measurePeers();
    }
    await this.#measurePeers();
    this.#isDone = true;
    await this.#keep();
    return this.findings;
  }

  close(): Promise<void> {
    return this.#peers.close();
  }

  get findings(): GpuFindings {
    const { machine, shape } = this.#terms;
    const { measured } = this.#rounds;
    const { torch, cuda, device } = this.#peers.described ?? {};
    // Where no driver's program says it.
    const name = cuda && machine.driver === undefined ? device! : machine.name;
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: { ...machine, name, torch, torchCuda: cuda ?? undefined },
      ...{ shape, measured, compared: this.#compared, notes: this.#notes, done: this.#isDone },
      figures: figuresOf(measured, shape, { agreement: worstOfOurs(this.#compared) }),
      memory: { personBytes: this.#bed.kvBytes / shape.batch, takenBytes: this.#takenBytes },
    };
  }

  /** Until what is left belongs to the end. */
  get #leftMs(): number {
    return this.#endAt - RESERVE_MS - performance.now();
  }

  #openPeers(): Peers {
    const { python, engine, shape, progress } = this.#terms;
    const { layers, width, heads, columns, embedding, actions, window, dtype } = this.#graphs.description;
    return new Peers({
      ...{ python, device: engine.device, progress, kv: { batch: shape.batch, bytes: this.#bed.kvBytes } },
      model: { layers, width, heads, columns, embedding, actions, window, dtype, seed: SEED },
      cases: (described) => peerCases(shape, described),
      limitMs: Math.min(PEER_LIMIT_MS, Math.max(0, this.#leftMs)),
      note: (line) => this.#note(line),
    });
  }

  async #stages() {
    const { rank, encode, prefill = {}, gather } = this.#graphs.description.graphs;
    const { on, reason } = await this.#bed.capture(gather);
    if (!on) this.#note(`captured runs are left out: ${reason}`);
    return stagesOf(
      this.#terms.shape,
      { rank: Object.keys(rank), encode: Object.keys(encode), prefill: Object.keys(prefill) },
      on,
    );
  }

  /** What cannot be prepared is left out and told, once for each reason. */
  async #prepare(cases: readonly GpuCase[]): Promise<ReadyCase[]> {
    const ready: ReadyCase[] = [];
    const left = new Reasons();
    // Half of the time is for measuring what is ready.
    const endAt = performance.now() + this.#leftMs / 2;
    for (const asked of cases) {
      if (performance.now() > endAt) {
        left.add(asked, 'no time was left');
        continue;
      }
      const made = await this.#bed.prepare(asked).catch((error: unknown) => left.add(asked, sentenceOf(error)));
      if (made !== undefined) ready.push(made);
    }
    for (const line of left.lines) this.#note(line, 'left out: ');
    this.#takenBytes = Math.max(this.#takenBytes, this.#startsWith - this.#terms.engine.memory().freeBytes);
    return ready;
  }

  /** With those of before that figures set beside others, while PyTorch stands still. */
  async #measure(name: string, ready: readonly ReadyCase[]): Promise<void> {
    const anchors = anchorsOf(this.#rounds, this.#terms.shape.batch);
    this.#peers.pause();
    try {
      await this.#rounds.measure(name, [...new Set([...ready, ...anchors])], this.#terms.rounds);
    } finally {
      this.#peers.resume();
    }
  }

  /** When all are ready, or no time is left to wait for more. */
  async #measurePeers(): Promise<void> {
    const enough = new AbortController();
    const waiting = Number.isFinite(this.#endAt)
      ? sleep(Math.max(0, this.#leftMs), undefined, enough)
      : this.#peers.settled;
    await Promise.race([this.#peers.settled, waiting.catch(() => {})]);
    enough.abort();
    const ready = this.#peers.take();
    if (ready.length === 0) return;
    await this.#measure('PyTorch', ready);
    await this.#compare();
  }

  /** Every kind of attention that ranks or recomputes a whole batch, and PyTorch, beside float32 on this machine's CPU; those that were not yet. */
  async #compare(): Promise<void> {
    const { shape } = this.#terms;
    const done = new Set(this.#compared.map((one) => one.case));
    const scoring = this.#rounds.ready.filter(({ case: of }) => {
      return ['rank', 'recompute'].includes(of.timed) && of.batch === shape.batch && !done.has(of);
    });
    for (const one of scoring) {
      try {
        this.#reference ??= this.#makeReference();
        const agreement = besideReference(await this.#reference, shape, await one.outputs());
        this.#compared.push({ case: one.case, agreement });
      } catch (error) {
        this.#note(`${describeCase(one.case)} was not compared: ${sentenceOf(error)}`);
      }
    }
    await this.#keep();
  }

  async #makeReference(): Promise<Float32Array> {
    const { shape, libraries, graphs } = this.#terms;
    const exact = shape.dtype === 'float32' ? this.#graphs : await graphs('float32', ['plain']);
    return referenceProbabilities(exact, shape, libraries);
  }

  #keep(): Promise<void> {
    return this.#terms.keep(this.findings);
  }

  #note(line: string, before = ''): void {
    this.#notes.push(line);
    this.#terms.progress(`${before}${line}`);
  }
}

/** Of the passes that figures set others beside, the fastest so far. */
function anchorsOf(rounds: Rounds, batch: number): ReadyCase[] {
  const own = { system: 'onepass', batch } as const;
  const { measured } = rounds;
  const fastestOnes = [
    fastest(measured, { ...own, timed: 'rank' }),
    fastest(measured, { ...own, timed: 'recompute' }),
    fastest(measured, { ...own, timed: 'append', rows: 1 }),
    fastestEncode(measured, batch),
  ].map((one) => one?.case);
  return rounds.ready.filter((ready) => fastestOnes.includes(ready.case));
}

/** Of all of ours together: the worst of each. */
function worstOfOurs(compared: readonly ComparedCase[]) {
  const ours = compared.filter(({ case: { system } }) => system === 'onepass').map((one) => one.agreement);
  if (ours.length === 0) return undefined;
  const most = (of: (one: (typeof ours)[number]) => number) => Math.max(...ours.map(of));
  return { worst: most((one) => one.worst), mean: most((one) => one.mean), kendall: -most((one) => -one.kendall) };
}
