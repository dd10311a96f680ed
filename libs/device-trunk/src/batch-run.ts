import { OnepassError } from '@onepass/errors';
import type { DeviceKv } from './device-kv.js';
import type { DeviceModel } from './device-model.js';
import type { RunSizes, TrunkRuns } from './trunk-runs.js';

export interface BatchDeps {
  readonly model: DeviceModel;
  readonly kv: DeviceKv;
  readonly runs: TrunkRuns;
}

/** How a run of several went. */
export interface Played<W> {
  /** @see Forecast: `work` is what was asked for. */
  readonly ran?: { readonly sizes: RunSizes; readonly work: number; readonly ms: number };
  /** None of these has an answer. */
  readonly failed?: { readonly works: readonly W[]; readonly error: unknown };
}

/** Whether `check` does not throw; what it throws is the work's answer. */
export function isStill(work: { fail(error: unknown): void }, check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    work.fail(OnepassError.from(error));
    return false;
  }
}

/** Answers one of several, of whom each is told what went wrong with their own answer alone. */
export async function answering(work: { fail(error: unknown): void }, answer: () => Promise<void>): Promise<void> {
  try {
    await answer();
  } catch (error) {
    work.fail(error);
  }
}

/** Of all of them, without padding. */
export function sumOfWork(works: readonly { readonly work: number }[]): number {
  return works.reduce((sum, { work }) => sum + work, 0);
}

/** What was not the run, from when it was asked for until now, in microseconds. */
export function waitedMicros({ askedAt }: { readonly askedAt: number }, runMicros: number): number {
  return Math.round((performance.now() - askedAt) * 1000) - runMicros;
}
