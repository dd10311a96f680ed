import type { Items, Release } from '@onepass/release';
import { habitsOf, type MeasuredPage, pageOf } from '../../page.js';
import { type CoreSplit, type LoadOptions, makeTrace, usualTrace, visitsOf } from '../load/index.js';
import type { Store } from '../report/index.js';
import type { CommonSettings } from '../systems/systems.js';
import type { Bed, PlannedLoad } from './plan.js';

/** What a bed is run with. */
export interface Ground {
  readonly releaseDir: string;
  readonly release: Release;
  readonly items: Items;
  readonly store: Store;
  readonly settings: CommonSettings;
  /** For histories, logs and requests. */
  readonly folder: string;
  readonly protoset: string;
  readonly ghz: string;
  readonly cores: CoreSplit | undefined;
  readonly progress: (line: string) => void;
  /** Once aborted, nothing more is begun. */
  readonly cut: AbortSignal;
  /** What a reader should know of how it went. */
  readonly note: (sentence: string) => void;
  /** Of a load that another run may still get done. */
  readonly missed: (sentence: string) => void;
}

/** The page that a bed measures. */
export const pageFor = ({ shape }: Bed, { release }: Ground, candidates = shape.k): MeasuredPage => ({
  ...pageOf(release),
  candidates,
});

/** How a load of a bed is sent. */
export function optionsOf(planned: PlannedLoad, bed: Bed, ground: Ground, round: number): LoadOptions {
  const { release, items, folder, protoset, ghz, cores } = ground;
  const { candidates, returning, actionsPerPage } = planned;
  const { seconds, warmUpSeconds, people } = bed;
  const page = pageFor(bed, ground, candidates);
  const trace = {
    // Every system gets the same trace; another round another one.
    seed: round,
    habits: habitsOf(release, page),
    itemIds: items.ids,
    surfaces: release.manifest.vocabulary.surfaces,
    queries: [],
    parameters: {
      ...(returning !== undefined && { returning }),
      ...(actionsPerPage !== undefined && { actionsPerPage }),
    },
  };
  const order =
    planned.load.kind === 'closed' && returning !== undefined ? visits(returning, people, round) : undefined;
  return { seconds, warmUpSeconds, people, page, folder, protoset, ghz, cores, trace, ...(order && { order }) };
}

/** Whose page is asked for, thousands of times, so that ghz does not come round in one load. */
function visits(returning: number, people: number, seed: number): readonly number[] {
  const plain = { joining: 0, surfaces: { related: 0, search: 0 } };
  return visitsOf(makeTrace({ ...usualTrace(), ...plain, seed, qps: 50, durationMs: 80_000, people, returning }));
}

export const today = () => new Date().toISOString().slice(0, 10);
