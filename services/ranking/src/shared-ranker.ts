import type { InferenceEngine } from '@onepass/inference';
import type { KvTensors } from '@onepass/kv';
import { type Measurements, NO_SPAN, tellGraphRun } from '@onepass/telemetry';
import { checkingKv } from './checking-kv.js';
import type { KvDoor } from './kv-door.js';
import type { RankAsk } from './rank-ask.js';
import { EMPTY_PAST, type RankGraph, type RankRun } from './rank-graph.js';
import type { Ranker, RankTerms } from './ranker.js';

export interface SharedRankerParts {
  readonly engine: Pick<InferenceEngine, 'provider' | 'queued' | 'running' | 'started'>;
  readonly graph: RankGraph;
  readonly kv: KvDoor;
  readonly measurements: Measurements;
}

/** The release's rank graph over KV that a user-encoder keeps in shared memory. */
export class SharedRanker implements Ranker {
  readonly provider: string;
  readonly load: SharedRankerParts['engine'];
  readonly #parts: SharedRankerParts;

  constructor(parts: SharedRankerParts) {
    this.#parts = parts;
    this.load = parts.engine;
    this.provider = parts.engine.provider;
  }

  async rank(ask: RankAsk, terms: RankTerms): Promise<RankRun> {
    const { span = NO_SPAN } = terms;
    if (ask.kv.length === 0) return this.#run(ask, EMPTY_PAST, terms);
    const lease = checkingKv(ask.kv, span, () => this.#parts.kv.read(ask.kv));
    try {
      const run = await this.#run(ask, lease, terms);
      lease.check();
      return run;
    } finally {
      lease.done();
    }
  }

  async #run(ask: RankAsk, past: KvTensors, terms: RankTerms): Promise<RankRun> {
    const { graph, measurements } = this.#parts;
    const run = await graph.run(ask, past, terms);
    tellGraphRun('rank', run.timing, { measurements, span: terms.span ?? NO_SPAN });
    return run;
  }
}
