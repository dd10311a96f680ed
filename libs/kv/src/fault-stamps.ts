// What the processes of the fault tests agree on.
import type { KvReference, KvTensors } from './index.js';

export const FAULTS = {
  shape: { layers: 2, width: 64, capacity: 64 },
  slots: 8,
  releaseId: 'r-faults',
} as const;

export const ANN = 'a'.repeat(32);

/** What every number of a token must be. */
export const numberOf = (token: number) => 1_000 + token;

export function writeTokens({ keys, values }: KvTensors, from: number, to: number): void {
  const { width } = FAULTS.shape;
  for (const tensor of [...keys, ...values]) {
    for (let token = from; token < to; token++) tensor.fill(numberOf(token), token * width, (token + 1) * width);
  }
}

/** The first token whose numbers are not what they must be; undefined = all are right. */
export function wrongToken({ keys, values }: KvTensors): number | undefined {
  const { width } = FAULTS.shape;
  for (const tensor of [...keys, ...values]) {
    const at = tensor.findIndex((number, i) => number !== numberOf(Math.floor(i / width)));
    if (at >= 0) return Math.floor(at / width);
  }
  return undefined;
}

/** A reference between processes. */
export type SentReference = Record<keyof KvReference, string | number>;

export function sendable(reference: KvReference): SentReference {
  const { personKey, generation, historySequence, historyHash } = reference;
  return {
    ...reference,
    ...{ generation: `${generation}`, historySequence: `${historySequence}`, historyHash: `${historyHash}` },
    personKey: Buffer.from(personKey).toString('hex'),
  };
}

export function received(sent: SentReference): KvReference {
  return {
    releaseId: String(sent.releaseId),
    poolId: String(sent.poolId),
    slot: Number(sent.slot),
    length: Number(sent.length),
    generation: BigInt(sent.generation),
    historySequence: BigInt(sent.historySequence),
    historyHash: BigInt(sent.historyHash),
    personKey: Buffer.from(String(sent.personKey), 'hex'),
  };
}
