import { checkedPerson, idHash, Reader, Writer } from './bytes.js';
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
  const writer = new Writer();
  writer.number(slate.timeMs);
  writer.byte(has);
  writer.text(slate.slateId);
  writer.text(slate.surface);
  writer.number(slate.historySequence);
  writer.hash(slate.historyHash);
  writer.text(slate.releaseId);
  writer.texts(slate.relatedItemIds);
  if (queryText !== undefined) writer.text(queryText);
  if (queryEmbedding !== undefined) {
    writer.number(queryEmbedding.length);
    for (const value of queryEmbedding) writer.float(value);
  }
  writer.texts(actions);
  writer.texts(slate.degraded);
  writer.number(slate.items.length);
  for (const item of slate.items) writeItem(writer, item, actions.length);
  // Last, where readers from before there were any do not look.
  if (features.length > 0) writer.number(features.length);
  for (const [name, value] of features) {
    writer.text(name);
    writer.double(value);
  }
  return writer.finish();
}

function writeItem(writer: Writer, { itemId, position, utility, probabilities }: SlateItem, actions: number): void {
  if (probabilities.length !== actions)
    throw new TypeError(`${probabilities.length} probabilities of ${actions} actions`);
  writer.text(itemId);
  writer.number(position);
  writer.float(utility);
  for (const probability of probabilities) writer.float(probability);
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
  const writer = new Writer();
  writer.number(ordered.length);
  for (const { itemId, position, visible, actions } of ordered) {
    writer.text(itemId);
    writer.number(position);
    writer.byte(visible ? 1 : 0);
    writer.texts(actions);
  }
  return writer.finish();
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

function readFeatures(reader: Reader): Record<string, number> {
  const entries = Array.from({ length: reader.number() }, () => [reader.text(), reader.double()] as const);
  return Object.fromEntries(entries);
}

function readList(reader: Reader): string[] {
  return Array.from({ length: reader.byte() }, () => reader.text());
}
