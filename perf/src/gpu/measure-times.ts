import type { DeviceEngine } from '@onepass/inference';
import { TrunkBed } from './bed.js';
import { ownCases, PAGE, peerCases } from './bench-cases.js';
import { figuresOf } from './figures.js';
import type { ComparedCase, GpuFindings } from './findings.js';
import { describeCase, type MeasuredCase, type ReadyCase } from './gpu-case.js';
import { describeGpuMachine } from './gpu-machine.js';
import { type DeviceGraphs, SEED } from './graphs.js';
import type { BenchShape, Dtype } from './options.js';
import { Peer, type PeerDescription } from './peer.js';
import { besideReference, referenceProbabilities } from './reference.js';
import { FULL_ROUND, measureRounds, SMOKE_ROUND } from './rounds.js';
import { sentenceOf } from './sentence.js';

export interface MeasureTerms {
  readonly engine: DeviceEngine;
  readonly shape: BenchShape;
  readonly python: string;
  /** Folder of ONNX Runtime's libraries: a process can load one only. */
  readonly libraries: string | undefined;
  /** Makes device graphs of the shape; absent `attention` = every kind. */
  graphs(dtype: Dtype, attention?: readonly string[]): Promise<DeviceGraphs>;
  readonly rounds: number;
  readonly smoke: boolean;
  progress(line: string): void;
}

/** Copies of the batch's KV a round. */
const COPIES = 3;

/** Prepares everything, measures it in turns, and compares probabilities with float32 on the CPU. */
export async function measureTimes(terms: MeasureTerms): Promise<GpuFindings> {
  const { engine, shape, progress } = terms;
  const notes: string[] = [];
  const note = (line: string) => {
    notes.push(line);
    progress(line);
  };
  const startsWith = engine.memory().freeBytes;
  const peer = new Peer(terms.python);
  try {
    const graphs = await terms.graphs(shape.dtype);
    const bed = await TrunkBed.open(engine, graphs, { ...shape, ...PAGE });
    // Compilers take minutes: both sides get ready at the same time.
    const [own, { described, ready: others }] = await Promise.all([
      prepareOwn(bed, graphs, shape, note),
      preparePeer(peer, terms, graphs, note),
    ]);
    const ready = [...own, ...others];
    const takenBytes = startsWith - engine.memory().freeBytes;
    const measured = await measureRounds(ready, terms.rounds, terms.smoke ? SMOKE_ROUND : FULL_ROUND, {
      progress,
      failed: ({ case: of }, error) => note(`${describeCase(of)} failed: ${sentenceOf(error)}`),
    });
    const copyMicros = described?.cuda ? await copies(peer, bed.kvBytes, terms.rounds) : undefined;
    const compared = await compare(terms, graphs, { ready, measured, note });
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: await describeGpuMachine(engine, described),
      ...{ shape, measured, compared, notes },
      figures: figuresOf(measured, shape, { agreement: worstOfOurs(compared), copyMicros }),
      memory: { personBytes: bed.kvBytes / shape.batch, takenBytes },
    };
  } finally {
    await peer.close();
  }
}

/** What cannot be prepared is left out and told. */
async function prepareOwn(
  bed: TrunkBed,
  { description }: DeviceGraphs,
  shape: BenchShape,
  note: (line: string) => void,
): Promise<ReadyCase[]> {
  const { graphs } = description;
  const attentions = { rank: Object.keys(graphs.rank), prefill: Object.keys(graphs.prefill ?? {}) };
  const { on, reason } = await bed.capture(graphs.gather);
  if (!on) note(`captured runs are left out: ${reason}`);
  const ready: ReadyCase[] = [];
  for (const asked of ownCases(shape, attentions, on)) {
    const made = await bed.prepare(asked).catch((error: unknown) => {
      note(`${describeCase(asked)} is left out: ${sentenceOf(error)}`);
      return undefined;
    });
    if (made !== undefined) ready.push(made);
  }
  return ready;
}

interface PeerReady {
  /** Undefined where there is no PyTorch, or it sees no GPU and this bench does. */
  readonly described: PeerDescription | undefined;
  readonly ready: readonly ReadyCase[];
}

/** With PyTorch's own attention where the compiled one cannot be had or is wrong. */
async function preparePeer(
  peer: Peer,
  { engine, shape, progress }: MeasureTerms,
  { description }: DeviceGraphs,
  note: (line: string) => void,
): Promise<PeerReady> {
  const { layers, width, heads, columns, embedding, actions, window, dtype } = description;
  const ready: ReadyCase[] = [];
  try {
    const described = await peer.hello();
    await peer.model(engine.device, { layers, width, heads, columns, embedding, actions, window, dtype, seed: SEED });
    for (const asked of peerCases(shape, described)) {
      if (asked.compiled) progress(`PyTorch compiles ${asked.kind}, B=${asked.batch}`);
      const others = asked.attention === 'sdpa' ? [asked] : [asked, { ...asked, attention: 'sdpa' }];
      for (const other of others) {
        const made = await peer.prepare(other).catch((error: unknown) => {
          note(`PyTorch ${asked.kind}, ${other.attention}, B=${asked.batch} is left out: ${sentenceOf(error)}`);
          return undefined;
        });
        if (made === undefined) continue;
        ready.push(made);
        break;
      }
    }
    return { described, ready };
  } catch (error) {
    note(`PyTorch is left out: ${sentenceOf(error)}`);
    return { described: undefined, ready };
  }
}

async function copies(peer: Peer, bytes: number, rounds: number): Promise<number[]> {
  const { deviceMicros } = await peer.copy(bytes, COPIES * rounds);
  return deviceMicros.filter((_, i) => i % COPIES === COPIES - 1);
}

interface Compared {
  readonly ready: readonly ReadyCase[];
  readonly measured: readonly MeasuredCase[];
  note(line: string): void;
}

/** Every kind of attention that ranks or recomputes a whole batch, and PyTorch, beside float32 on this machine's CPU. */
async function compare(
  terms: MeasureTerms,
  graphs: DeviceGraphs,
  { ready, measured, note }: Compared,
): Promise<ComparedCase[]> {
  const { shape } = terms;
  const exact = shape.dtype === 'float32' ? graphs : await terms.graphs('float32', ['plain']);
  const reference = await referenceProbabilities(exact, shape, terms.libraries);
  const whole = new Set(measured.map((one) => one.case));
  const scoring = ready.filter(
    ({ case: { timed, batch } }) => ['rank', 'recompute'].includes(timed) && batch === shape.batch,
  );
  const compared: ComparedCase[] = [];
  for (const one of scoring.filter((some) => whole.has(some.case))) {
    try {
      compared.push({ case: one.case, agreement: besideReference(reference, shape, await one.outputs()) });
    } catch (error) {
      note(`${describeCase(one.case)} was not compared: ${sentenceOf(error)}`);
    }
  }
  return compared;
}

/** Of all of ours together: the worst of each. */
function worstOfOurs(compared: readonly ComparedCase[]) {
  const ours = compared.filter(({ case: { system } }) => system === 'onepass').map((one) => one.agreement);
  if (ours.length === 0) return undefined;
  const most = (of: (one: (typeof ours)[number]) => number) => Math.max(...ours.map(of));
  return { worst: most((one) => one.worst), mean: most((one) => one.mean), kendall: -most((one) => -one.kendall) };
}
