import type { InferenceEngine } from '@onepass/inference';
import type { Release } from '@onepass/release';
import type { Logger, Measurements } from '@onepass/telemetry';
import type { Lease } from '@onepass/warm-tier';
import type { ServedModel } from './served-model.js';
import type { Trunk } from './trunk.js';
import type { WarmBelow } from './user-encoder.js';

/** What a trunk is opened for. */
export interface TrunkHost {
  readonly release: Release;
  readonly model: ServedModel;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** What is to be closed, the last one first, once nobody encodes any more. */
  readonly closing: (() => Promise<void> | void)[];
  /** The slot of a person as a warm tier is to write it. */
  leaseOf(person: string): Lease | undefined;
}

/** The trunk of a user-encoder, and what it stands on. */
export interface OpenTrunk {
  readonly trunk: Trunk;
  /** Runs the retrieval head and the query tower. */
  readonly engine: InferenceEngine;
  /** Memory of a slot whose history is full. */
  readonly slotBytes: number;
  /** Where the trunk runs. */
  readonly provider: string;
  /** Graph runs of this role, for its measurements. */
  readonly load: Pick<InferenceEngine, 'queued' | 'running' | 'started'>;
  readonly warm?: WarmBelow | undefined;
}
