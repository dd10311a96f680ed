import { join } from 'node:path';
import { kvMiss, OnepassError } from '@onepass/errors';
import { KV_POOL_FILE, KvPoolReader, type KvReference, type KvTensors } from '@onepass/kv';
import { openSharedMemory, type SharedMemory } from '@onepass/shared-memory';
import type { ServedModel } from './served-model.js';

interface OpenPool {
  readonly memory: SharedMemory;
  readonly reader: KvPoolReader;
  /** Reads that have not been given back. */
  inUse: number;
}

/** KV read in place, mapped until `done`. */
export interface KvLease extends KvTensors {
  /** After the run. @throws OnepassError `kv_miss` when the KV may have changed during it. */
  check(): void;
  /** Nothing uses the tensors any more. */
  done(): void;
}

/**
 * The cell's pool, opened when it is first asked for, and again when its writer has restarted: until then, a miss. The old mapping goes once
 * the last run over it has returned.
 */
export class KvDoor {
  readonly #path: string;
  readonly #served: ServedModel;
  #pool: OpenPool | undefined;

  constructor(cellDir: string, served: ServedModel) {
    this.#path = join(cellDir, KV_POOL_FILE);
    this.#served = served;
  }

  /** @throws OnepassError `kv_miss` when it is not to be had; `release_mismatch` when it is of another release. */
  read(reference: KvReference): KvLease {
    const pool = this.#current(reference.poolId);
    const { keys, values } = pool.reader.read(reference);
    pool.inUse++;
    return {
      keys,
      values,
      check: () => pool.reader.verify(reference),
      done: () => {
        pool.inUse--;
        this.#closeUnused(pool);
      },
    };
  }

  close(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    if (pool) this.#closeUnused(pool);
  }

  /** The open pool when it is the one that is meant, else the one the file holds now. */
  #current(poolId: string): OpenPool {
    const open = this.#pool;
    if (open?.reader.poolId === poolId) return open;
    const fresh = this.#open();
    if (fresh.reader.poolId !== poolId) {
      fresh.memory.close();
      throw kvMiss('it is of another pool');
    }
    this.#pool = fresh;
    if (open) this.#closeUnused(open);
    return fresh;
  }

  #open(): OpenPool {
    let memory: SharedMemory | undefined;
    try {
      memory = openSharedMemory(this.#path);
      const { kvShape, releaseId } = this.#served;
      return { memory, reader: KvPoolReader.open(memory, { shape: kvShape, releaseId }), inUse: 0 };
    } catch (error) {
      memory?.close();
      if (error instanceof OnepassError && error.kind === 'unavailable') throw kvMiss('the pool is not there');
      throw error;
    }
  }

  #closeUnused(pool: OpenPool): void {
    if (pool !== this.#pool && pool.inUse === 0) pool.memory.close();
  }
}
