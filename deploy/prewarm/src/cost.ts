import type { ActivePerson } from '@onepass/history';
import { kvBytes, kvShape } from '@onepass/kv';

/** What a release's model says of its KV. */
export interface KvModel {
  readonly layers: number;
  readonly width: number;
  /** Most tokens of a person. */
  readonly window: number;
  /** That a slot has room for behind them. */
  readonly contextRows: number;
  /** Memory of a whole history's KV at the cell, which may hold it in half floats; absent = as in shared memory. */
  readonly slotBytes?: number | undefined;
}

/** What came of one person's encode. */
export interface Warmed {
  readonly outcome: Outcome;
  /** That the cell holds of the person now. */
  readonly tokens: number;
  readonly encodedTokens: number;
  /** In graphs. */
  readonly computeMs: number;
  readonly callMs: number;
}

/** Where the KV was: `held` as it is, `appended` new actions to it, `encoded` all of it, `restored` from the warm tier, `empty` nothing to encode. */
export type Outcome = 'held' | 'appended' | 'encoded' | 'restored' | 'empty';

/** The first people, whose encodes are timed. */
export interface Calibration {
  readonly people: number;
  /** That the cells hold of all of them together now. */
  readonly tokens: number;
  readonly encodedTokens: number;
  readonly computeMs: number;
  readonly callMs: number;
  /** What their histories would make if every event were a token. */
  readonly mostTokens: number;
}

/** Of all people of all cells, those of the calibration too. */
export interface Cost {
  readonly people: number;
  readonly tokens: number;
  readonly kvBytes: number;
  readonly computeSeconds: number;
  /** From the start to the end. */
  readonly seconds: number;
}

/** A full window is encoded at this share of it, as the user-encoder does. */
const SHORTENED = 3 / 4;

/** Tokens of a person if every event is one: some are retracted or unknown to the release. */
export function mostTokens({ events }: ActivePerson, { window }: KvModel): number {
  return events <= window ? events : Math.max(1, Math.floor(window * SHORTENED));
}

/** The most that a person's KV takes. */
export function mostBytes(person: ActivePerson, model: KvModel): number {
  return bytesOf(model, mostTokens(person, model) + model.contextRows);
}

function bytesOf(model: KvModel, tokens: number): number {
  const shape = kvShape(model);
  const { slotBytes: whole = kvBytes(shape, shape.capacity) } = model;
  return kvBytes(shape, tokens) * (whole / kvBytes(shape, shape.capacity));
}

export function calibrationOf(
  timed: readonly { readonly person: ActivePerson; readonly warmed: Warmed }[],
  model: KvModel,
): Calibration {
  const sum = (of: (one: (typeof timed)[number]) => number) => timed.reduce((total, one) => total + of(one), 0);
  return {
    people: timed.length,
    tokens: sum(({ warmed }) => warmed.tokens),
    encodedTokens: sum(({ warmed }) => warmed.encodedTokens),
    computeMs: sum(({ warmed }) => warmed.computeMs),
    callMs: sum(({ warmed }) => warmed.callMs),
    mostTokens: sum(({ person }) => mostTokens(person, model)),
  };
}

/**
 * What people like those of the calibration cost: tokens by their events, compute and time by their tokens.
 * @param cells people by cell
 */
export function costOf(
  cells: readonly (readonly ActivePerson[])[],
  calibration: Calibration,
  { model, rate, inFlight }: { readonly model: KvModel; readonly rate: number; readonly inFlight: number },
): Cost {
  const people = cells.flat();
  const all = people.reduce((sum, person) => sum + mostTokens(person, model), 0);
  // How many people the calibration's stand for, by their tokens.
  const scale = calibration.mostTokens === 0 ? 0 : all / calibration.mostTokens;
  const known = calibration.mostTokens === 0 ? 0 : calibration.tokens / calibration.mostTokens;
  const callSeconds = calibration.people === 0 ? 0 : calibration.callMs / 1_000 / calibration.people;
  return {
    people: people.length,
    tokens: Math.round(calibration.tokens * scale),
    kvBytes: people.reduce((sum, person) => sum + bytesOf(model, mostTokens(person, model) * known), 0),
    computeSeconds: (calibration.computeMs * scale) / 1_000,
    // Cells are warmed side by side.
    seconds: Math.max(0, ...cells.map((of) => of.length / Math.min(rate, inFlight / callSeconds))),
  };
}
