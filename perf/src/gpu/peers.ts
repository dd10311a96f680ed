import { availableParallelism } from 'node:os';
import type { DeviceName } from '@onepass/inference';
import type { ReadyCase } from './gpu-case.js';
import { Peer, type PeerCase, type PeerDescription, type PeerModel } from './peer.js';
import { sentenceOf } from './sentence.js';

export interface PeersTerms {
  readonly python: string;
  readonly device: DeviceName;
  readonly model: PeerModel;
  /** What is wanted of it, the most important first. */
  cases(described: PeerDescription): readonly PeerCase[];
  /** KV of a whole batch, whose copy is timed beside them where there is a GPU. */
  readonly kv: { readonly batch: number; readonly bytes: number };
  /** For all to get ready, in ms from now; what is not ready by then is left out. */
  readonly limitMs: number;
  /** Processes that compile; absent = as this machine's cores allow. */
  readonly atOnce?: number;
  /** What was left out, and why. */
  note(line: string): void;
  progress(line: string): void;
}

/**
 * PyTorch's cases, which get ready beside ours: compilers take minutes. Each that is compiled has a process of its own, so that they compile at one time and
 * none that takes too long, or breaks the device, takes others along.
 */
export class Peers {
  /** Resolves when every case is ready or left out. */
  readonly settled: Promise<void>;
  readonly #terms: PeersTerms;
  readonly #peers = new Set<Peer>();
  /** That are getting ready. */
  readonly #busy = new Set<Peer>();
  readonly #ready: ReadyCase[] = [];
  readonly #limitAt: number;
  #described: PeerDescription | undefined;
  #isSettled = false;
  /** Whether somebody copies. */
  #copies = false;
  #isClosed = false;
  #isPaused = false;

  constructor(terms: PeersTerms) {
    this.#terms = terms;
    this.#limitAt = performance.now() + terms.limitMs;
    this.settled = this.#start()
      .catch((error: unknown) => terms.note(`PyTorch is left out: ${sentenceOf(error)}`))
      .finally(() => {
        this.#isSettled = true;
      });
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Undefined where there is no PyTorch, and until it has told. */
  get described(): PeerDescription | undefined {
    return this.#described;
  }

  /** Cases that have become ready since the last call. */
  take(): ReadyCase[] {
    return this.#ready.splice(0);
  }

  /** Stops those that get ready, while others are timed. */
  pause(): void {
    this.#isPaused = true;
    for (const peer of this.#busy) peer.pause();
  }

  resume(): void {
    this.#isPaused = false;
    for (const peer of this.#busy) peer.resume();
  }

  /** Ends those that are not ready too. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#peers].map((peer) => (this.#busy.has(peer) ? peer.kill('ended') : peer.close())));
    await this.settled;
  }

  async #start(): Promise<void> {
    const first = this.#open();
    const described = await this.#getReady(first, () => first.hello());
    this.#described = described;
    const cases = [...this.#terms.cases(described)];
    if (!described.compiles) return this.#prepareAll(first, described, cases);
    // The first case has the first process, each other one of its own.
    const { atOnce = Math.max(1, Math.floor(availableParallelism() / 2)) } = this.#terms;
    let isFirst = true;
    const line = async () => {
      for (let asked = cases.shift(); asked !== undefined && !this.#isClosed; asked = cases.shift()) {
        const peer = isFirst ? first : this.#open();
        isFirst = false;
        await this.#prepareAll(peer, described, [asked]);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, line));
  }

  /** One after the other, in one process. */
  async #prepareAll(peer: Peer, described: PeerDescription, cases: readonly PeerCase[]): Promise<void> {
    const { device, model, kv, note } = this.#terms;
    try {
      await this.#getReady(peer, () => peer.model(device, model));
      for (const asked of cases) {
        const made = await this.#prepare(peer, asked, described.attention);
        if (made === undefined) continue;
        if (described.cuda !== null && !this.#copies) {
          this.#copies = true;
          this.#ready.push(copyCase(peer, kv));
        }
        this.#ready.push(made);
      }
    } catch (error) {
      if (this.#isClosed) return;
      note(`PyTorch ${cases.map(({ kind }) => kind).join(', ')} is left out: ${sentenceOf(error)}`);
    }
  }

  /** With the next attention where one cannot be had or is wrong. @throws what ended its process */
  async #prepare(peer: Peer, asked: PeerCase, attentions: readonly string[]): Promise<ReadyCase | undefined> {
    const { note, progress } = this.#terms;
    if (asked.compiled) progress(`PyTorch compiles ${asked.kind}, B=${asked.batch}`);
    for (const other of attentions.map((attention) => ({ ...asked, attention }))) {
      const began = performance.now();
      try {
        const made = await this.#getReady(peer, () => peer.prepare(other));
        if (other.compiled)
          progress(
            `PyTorch ${other.kind}, B=${other.batch} is ready after ${((performance.now() - began) / 1000).toFixed(0)} s`,
          );
        return made;
      } catch (error) {
        if (peer.isGone) throw error;
        note(`PyTorch ${other.kind}, ${other.attention}, B=${other.batch} is left out: ${sentenceOf(error)}`);
      }
    }
    return undefined;
  }

  #open(): Peer {
    const peer = new Peer(this.#terms.python);
    this.#peers.add(peer);
    return peer;
  }

  /** Stopped while others are timed, and ended when there is no time left. */
  async #getReady<T>(peer: Peer, work: () => Promise<T>): Promise<T> {
    this.#busy.add(peer);
    if (this.#isPaused) peer.pause();
    const limitMs = Math.max(0, this.#limitAt - performance.now());
    const timer = setTimeout(
      () => void peer.kill(`it was not ready within ${Math.round(this.#terms.limitMs / 1000)} s`),
      limitMs,
    );
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      this.#busy.delete(peer);
    }
  }
}

/** A batch's KV from pinned host memory to the device, as PyTorch copies it. */
function copyCase(peer: Peer, { bytes, batch }: PeersTerms['kv']): ReadyCase {
  return {
    case: { system: 'pytorch', timed: 'kv_copy', batch, rows: 0, attention: 'none', captured: false },
    time: (runs) => peer.copy(bytes, runs),
    outputs: async () => new Float32Array(),
  };
}
