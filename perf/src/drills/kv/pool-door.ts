import { join } from 'node:path';
import { kvMiss, OnepassError } from '@onepass/errors';
import { KV_POOL_FILE, KvPoolReader } from '@onepass/kv';
import { openSharedMemory, type SharedMemory } from '@onepass/shared-memory';
import { POOL } from './scored-pool.js';

/** The pool's file as ranking opens it: when it is first asked for, and again when a reference is of another writer's pool. */
export class PoolDoor {
  readonly #path: string;
  #open: { readonly memory: SharedMemory; readonly reader: KvPoolReader } | undefined;

  constructor(folder: string) {
    this.#path = join(folder, KV_POOL_FILE);
  }

  /** What was given before must not be used any more. @throws OnepassError `kv_miss` when the pool is not there, or not that one */
  readerOf(poolId: string): KvPoolReader {
    if (this.#open?.reader.poolId === poolId) return this.#open.reader;
    const memory = this.#mapped();
    const fresh = this.#read(memory);
    if (fresh.poolId !== poolId) {
      memory.close();
      throw kvMiss('it is of another pool');
    }
    this.#open?.memory.close();
    this.#open = { memory, reader: fresh };
    return fresh;
  }

  #mapped(): SharedMemory {
    try {
      return openSharedMemory(this.#path);
    } catch (error) {
      throw missIfUnavailable(error);
    }
  }

  #read(memory: SharedMemory): KvPoolReader {
    try {
      return KvPoolReader.open(memory, { shape: POOL.shape, releaseId: POOL.releaseId });
    } catch (error) {
      memory.close();
      throw missIfUnavailable(error);
    }
  }
}

function missIfUnavailable(error: unknown): unknown {
  const isSo = error instanceof OnepassError && error.kind === 'unavailable';
  return isSo ? kvMiss('the pool is not there') : error;
}
