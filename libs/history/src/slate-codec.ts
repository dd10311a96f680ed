import { byteBytes, checkedPerson, idHash, numberBytes, Reader, textBytes } from './bytes.js';
import type { LoggedSlate, Slate, SlateItem, SlateOutcome } from './slates.js';

// A slate's value begins with its time. Whose it is and what became of it lie beside it: a slate's bytes never change.
const HAS = { foreign: 1, query: 2, embedding: 4, features: 8 } as const;

/**
 * Whose slates lie together: a person's, or of nobody's in particular those whose ids' hashes share their first byte, so that
 * nobody's grow in 256 places and not in one.
 */
export function slateOwner(person: string | undefined, slateId: string): string {
  if (person !== undefined) return checkedPerson(person);
  return `nobody-${idHash(slateId).toString('hex', 0, 1)}`;
}

export function ownerPerson(owner: string): string | undefined {
  return owner.startsWith('nobody-') ? undefined : owner;
}

/** @throws TypeError when an item has not one probability per action */
export function encodeSlate(slate: Slate): Buffer {
  const { foreign, queryText, queryEmbedding, actions } = slate;
  const features = Object.entries(slate.features);
  const has =
    (foreign ? HAS.foreign : 0) |
    (queryText === undefined ? 0 : HAS.query) |
    (queryEmbedding === undefined ? 0 : HAS.embedding) |
    (features.length === 0 ? 0 : HAS.features);
  return Buffer.concat([
    numberBytes(slate.timeMs),
    byteBytes(has),
    textBytes(slate.slateId),
    textBytes(slate.surface),
    numberBytes(slate.historySequence),
    hashBytes(slate.historyHash),
    textBytes(slate.releaseId),
    ...listBytes(slate.relatedItemIds),
    ...(queryText === undefined ? [] : [textBytes(queryText)]),
    ...(queryEmbedding === undefined ? [] : [numberBytes(queryEmbedding.length), floatBytes(queryEmbedding)]),
    ...listBytes(actions),
    ...listBytes(slate.degraded),
    numberBytes(slate.items.length),
    ...slate.items.flatMap((item) => itemBytes(item, actions.length)),
    // Last, where readers from before there were any do not look.
    ...(features.length === 0 ? [] : [numberBytes(features.length)]),
    ...features.flatMap(([name, value]) => [textBytes(name), doubleBytes(value)]),
  ]);
}

function itemBytes({ itemId, position, utility, probabilities }: SlateItem, actions: number): Buffer[] {
  if (probabilities.length !== actions)
    throw new TypeError(`${probabilities.length} probabilities of ${actions} actions`);
  return [textBytes(itemId), numberBytes(position), floatBytes([utility, ...probabilities])];
}

export function slateTime(bytes: Buffer): number {
  return new Reader(bytes, 0).number();
}

/**
 * @param outcomes their bytes, when there are any
 */
export function decodeSlate(owner: string, bytes: Buffer, outcomes: Buffer | undefined): LoggedSlate {
  const reader = new Reader(bytes, 0);
  const timeMs = reader.number();
  const has = reader.byte();
  const slateId = reader.text();
  const surface = reader.text();
  const historySequence = reader.number();
  const historyHash = reader.hash();
  const releaseId = reader.text();
  const relatedItemIds = readList(reader);
  const queryText = has & HAS.query ? reader.text() : undefined;
  const queryEmbedding =
    has & HAS.embedding ? Float32Array.from({ length: reader.number() }, () => reader.float()) : undefined;
  const actions = readList(reader);
  const degraded = readList(reader);
  const items = Array.from({ length: reader.number() }, () => ({
    itemId: reader.text(),
    position: reader.number(),
    utility: reader.float(),
    probabilities: actions.map(() => reader.float()),
  }));
  const features = has & HAS.features ? readFeatures(reader) : {};
  return {
    slateId,
    person: ownerPerson(owner),
    surface,
    timeMs,
    historySequence,
    historyHash,
    releaseId,
    foreign: (has & HAS.foreign) !== 0,
    relatedItemIds,
    queryText,
    queryEmbedding,
    features,
    actions,
    degraded,
    items,
    outcomes: outcomes === undefined ? [] : decodeOutcomes(outcomes),
  };
}

/** The outcomes held and those told now: the newest of an item and position counts. In page order. */
export function mergeOutcomes(held: Buffer | undefined, told: readonly SlateOutcome[]): Buffer {
  const all = [...(held === undefined ? [] : decodeOutcomes(held)), ...told];
  const newest = new Map(all.map((outcome) => [`${outcome.position} ${outcome.itemId}`, outcome]));
  const ordered = [...newest.values()].sort((a, b) => a.position - b.position || (a.itemId < b.itemId ? -1 : 1));
  return Buffer.concat([
    numberBytes(ordered.length),
    ...ordered.flatMap(({ itemId, position, visible, actions }) => [
      textBytes(itemId),
      numberBytes(position),
      byteBytes(visible ? 1 : 0),
      ...listBytes(actions),
    ]),
  ]);
}

function decodeOutcomes(bytes: Buffer): SlateOutcome[] {
  const reader = new Reader(bytes, 0);
  return Array.from({ length: reader.number() }, () => ({
    itemId: reader.text(),
    position: reader.number(),
    visible: reader.byte() === 1,
    actions: readList(reader),
  }));
}

/** An owner's slates as `all` tells them. */
export function inOrderOfTime(slates: LoggedSlate[]): LoggedSlate[] {
  return slates.sort((a, b) => a.timeMs - b.timeMs || (a.slateId < b.slateId ? -1 : 1));
}

function hashBytes(hash: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(hash);
  return bytes;
}

function floatBytes(values: ArrayLike<number>): Buffer {
  const bytes = Buffer.allocUnsafe(4 * values.length);
  for (let i = 0; i < values.length; i++) bytes.writeFloatBE(values[i]!, 4 * i);
  return bytes;
}

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

function readFeatures(reader: Reader): Record<string, number> {
  const entries = Array.from({ length: reader.number() }, () => [reader.text(), reader.double()] as const);
  return Object.fromEntries(entries);
}

function listBytes(texts: readonly string[]): Buffer[] {
  return [byteBytes(texts.length), ...texts.map(textBytes)];
}

function readList(reader: Reader): string[] {
  return Array.from({ length: reader.byte() }, () => reader.text());
}
