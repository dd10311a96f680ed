import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine } from '@onepass/inference';
import type { KvShape, KvTensors, SlotContent } from '@onepass/kv';
import { silentLogger } from '@onepass/telemetry';
import { openCodec } from './codec.js';
import { openDiskStore } from './disk-store.js';
import { HEADER_BYTES, type WarmCodec } from './entry.js';
import { someTensors } from './made-up.suite.js';
import { WarmTier, type WarmTierParts } from './warm-tier.js';
import type { Lease } from './write-behind.js';

export const SHAPE: KvShape = { layers: 2, width: 8, capacity: 16 };

export interface MadeUpSlot {
  readonly content: SlotContent;
  readonly lastMs: number;
  readonly tensors: KvTensors;
}

/** What a tier's owner has: slots by person, and how many of them are leased. */
export class MadeUpCell {
  readonly engine = createEngine({ provider: 'cpu', inFlight: 2, threads: 1 });
  readonly root = mkdtempSync(join(tmpdir(), 'onepass-warm-cell-'));
  readonly slots = new Map<string, MadeUpSlot>();
  leased = 0;
  #directories = 0;

  fill(person: string, length = 5, seed = 1): MadeUpSlot {
    const content = { length, sequence: seed * 100 + length, hash: BigInt(seed) << 40n };
    const slot = { content, lastMs: 1_700_000_000_000 + seed, tensors: someTensors(SHAPE, seed) };
    this.slots.set(person, slot);
    return slot;
  }

  lease(person: string): Lease | undefined {
    const slot = this.slots.get(person);
    if (slot === undefined) return undefined;
    this.leased++;
    let ended = false;
    const end = () => {
      if (ended) throw new Error('a lease ended twice');
      ended = true;
      this.leased--;
    };
    return { ...slot, end };
  }

  newDirectory(): string {
    return join(this.root, String(this.#directories++));
  }

  /** Files of a tier's directory. */
  filesIn(directory: string): string[] {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.'));
  }

  async openTier(
    more: Partial<WarmTierParts> & {
      directory?: string;
      codecName?: WarmCodec;
      quietMs?: number;
      maxWaiting?: number;
    } = {},
  ): Promise<WarmTier> {
    const { directory = this.newDirectory(), codecName = 'f32', quietMs = 0, maxWaiting = 100, ...parts } = more;
    const codec = parts.codec ?? (await openCodec(codecName, this.engine, SHAPE));
    const releaseId = parts.releaseId ?? 'r-1';
    const limits = {
      maxBytes: 1e7,
      maxAgeMs: 3_600_000,
      maxEntryBytes: HEADER_BYTES + codec.payloadBytes(SHAPE.capacity),
    };
    return new WarmTier({
      codec,
      store: parts.store ?? (await openDiskStore({ ...limits, directory, releaseId })),
      releaseId,
      shape: SHAPE,
      lease: (person) => this.lease(person),
      logger: silentLogger,
      maxAgeMs: limits.maxAgeMs,
      writing: { quietMs, maxWaiting, bytesPerSecond: 1e9 },
      ...parts,
    });
  }

  async close(): Promise<void> {
    await this.engine.close();
    rmSync(this.root, { recursive: true });
  }
}
