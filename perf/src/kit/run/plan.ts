import type { LoadKind, Shape, SweepName, SystemName } from '../measurements.js';
import { MAIN_SHAPE, REUSE_SHAPE } from '../report/goals.js';
import { slotMiB } from '../shape/memory.js';
import type { ReleaseShape } from '../shape/shape.js';
import type { Size } from './options.js';

/** What is served: the release at hand, or one that is made with synthetic weights. */
export type BedRelease = 'given' | ReleaseShape;

/** One load, sent to each of its systems in turn in every round. */
export interface PlannedLoad {
  readonly load: LoadKind;
  /** Absent: all of the bed. */
  readonly systems?: readonly SystemName[];
  readonly sweep?: { readonly name: SweepName; readonly value: number };
  /** Candidates of a page; absent: the shape's k. */
  readonly candidates?: number;
  /** Share of pages whose person was there a short while ago. In a closed loop: people come in the order of such a trace. */
  readonly returning?: number;
  readonly actionsPerPage?: number;
}

/** Systems that run side by side on one release with one amount of KV memory and one set of people, and what is measured of them. */
export interface Bed {
  readonly title: string;
  readonly release: BedRelease;
  /** n is how long the histories are. */
  readonly shape: Shape;
  readonly systems: readonly SystemName[];
  readonly cells: 1 | 2;
  readonly people: number;
  /** Persons whose KV a system with one encoder may keep. */
  readonly slots: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** How long a system is loaded after its start before anything counts: JavaScript that is not compiled yet costs half more. */
  readonly heatSeconds: number;
  readonly loads: readonly PlannedLoad[];
  /** Whether the graphs are timed alone, and the gateway's own time is taken, in every round. */
  readonly alone: boolean;
  /** Whether a warm page of A and the CPU of its processes are taken apart. */
  readonly takenApart?: boolean;
  /** The rate at which A gets the same load from both senders, once, to see that they agree. */
  readonly crossCheckQps?: number;
}

/** Their numbers, from 1. */
export const roundsOf = ({ rounds }: Pick<Bed, 'rounds'>) => Array.from({ length: rounds }, (_, i) => i + 1);

/** Those that carry the figures, in the order of their weight: a run that is cut short has them first. */
export function claimBeds(size: Size, given: Shape, asked: ReleaseShape | undefined): Bed[] {
  if (asked !== undefined) return [claims('the shape asked for', asked, asked, SIZES[size])];
  const here = claims('the release at hand', 'given', given, SIZES[size]);
  if (size !== 'full') return [here];
  return [
    claims('the shape that the claims are made at', { ...MAIN_SHAPE, ...MADE }, MAIN_SHAPE, SIZES.full),
    { ...here, takenApart: true },
    // Some find theirs by chance where few pages come in one load: of these two shares one makes half of them.
    comingBack('half of the people back in time, at that shape', { ...MAIN_SHAPE, ...MADE }, MAIN_SHAPE, [0.3, 0.45]),
    comingBack('people back in time', 'given', given, [0.5, 0.75, 0.9]),
    { ...bed('reuse alone', { ...REUSE_SHAPE, ...MADE }, REUSE_SHAPE, SIZES.full), alone: true },
  ];
}

/**
 * What the ratios depend on, at the release at hand.
 * @param peakQps whole pages a second that A answers there at most: what offered rates are shares of
 */
export function sweepBeds(given: Shape, peakQps: number): Bed[] {
  return [
    ...kvMemory(given),
    newActions(given, peakQps),
    offeredRates(given, peakQps),
    ...histories(given),
    candidates(given),
    ...cells(given),
  ];
}

interface Terms {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly heatSeconds: number;
  readonly concurrencies: readonly number[];
  readonly people: number;
}

export const SIZES: Readonly<Record<Size, Terms>> = {
  smoke: { rounds: 1, seconds: 1, warmUpSeconds: 0.5, heatSeconds: 0.5, concurrencies: [1, 2], people: 4 },
  quick: { rounds: 2, seconds: 3, warmUpSeconds: 1, heatSeconds: 6, concurrencies: [1, 4], people: 32 },
  full: { rounds: 5, seconds: 6, warmUpSeconds: 1, heatSeconds: 20, concurrencies: [1, 4, 8], people: 64 },
};

/** Of releases with synthetic weights. */
const MADE = { heads: 8, items: 20_000 };
const ALL: readonly SystemName[] = ['A', 'B', 'Bprime', 'C', 'D', 'G', 'Gkv'];

/** Where a slot is large there are fewer people, so that seven systems fit side by side into a usual machine. */
const FEWEST_PEOPLE = 16;
const PEOPLE_MIB = 1_024;

function bed(title: string, release: BedRelease, shape: Shape, terms: Terms): Bed {
  const { n, k, layers, width } = shape;
  const { rounds, seconds, warmUpSeconds, heatSeconds } = terms;
  const people = Math.min(terms.people, Math.max(FEWEST_PEOPLE, Math.floor(PEOPLE_MIB / slotMiB(shape))));
  return {
    ...{ title, release, people, rounds, seconds, warmUpSeconds, heatSeconds },
    shape: { n, k, layers, width },
    systems: [],
    cells: 1,
    // All people of A and of B', which has half as many in each of its pools.
    slots: 2 * people,
    loads: [],
    alone: false,
  };
}

/** Every system in closed loops of people whose KV is held wherever a system keeps any. */
function claims(title: string, release: BedRelease, shape: Shape, terms: Terms): Bed {
  const loads = terms.concurrencies.map((concurrency) => ({ load: { kind: 'closed', concurrency } as const }));
  return { ...bed(title, release, shape, terms), systems: ALL, loads, alone: true };
}

const SWEEP: Terms = { ...SIZES.full, rounds: 3, concurrencies: [], seconds: 8, heatSeconds: 10 };
/** Enough that people who are back in time and people who are not can both be found. */
export const CROWD = 512;
const SATURATING = { kind: 'closed', concurrency: 4 } as const;

/** More than anything here answers whole: goodput is then the most that it can do. */
const overload = (peakQps: number): LoadKind => ({
  kind: 'trace',
  people: CROWD,
  qps: Math.max(2, Math.round(1.3 * peakQps)),
});

/**
 * KV of nearly all who come back in time is held, by B' too, in half as many slots: what is left between the two is that B' does the work of
 * everybody else twice. Whoever was away for long must have lost the slot, so that there are far fewer slots than people.
 */
function comingBack(title: string, release: BedRelease, shape: Shape, shares: readonly number[]): Bed {
  return {
    ...bed(title, release, shape, SWEEP),
    systems: ['A', 'B', 'Bprime'],
    people: CROWD,
    slots: (3 / 16) * CROWD,
    loads: shares.map((value) => ({ load: SATURATING, returning: value, sweep: { name: 'returning', value } })),
  };
}

/** A beside B' as memory for KV shrinks. */
function kvMemory(given: Shape): Bed[] {
  return [16, 32, 64, 256].map((slots) => ({
    ...bed(`KV memory of ${slots} slots`, 'given', given, SWEEP),
    systems: ['A', 'Bprime'],
    people: CROWD,
    slots,
    loads: [
      {
        load: SATURATING,
        returning: 0.75,
        sweep: { name: 'kv_memory', value: Math.round(slots * slotMiB(given)) },
      },
    ],
  }));
}

function newActions(given: Shape, peakQps: number): Bed {
  const load = overload(peakQps);
  return {
    ...bed('people who act', 'given', given, SWEEP),
    systems: ['A', 'B', 'Bprime'],
    people: CROWD,
    slots: 2 * CROWD,
    loads: [0, 1, 4, 16].map((value) => ({ load, actionsPerPage: value, sweep: { name: 'actions', value } })),
  };
}

function offeredRates(given: Shape, peakQps: number): Bed {
  const rates = [0.5, 0.7, 0.85, 1, 1.2].map((share) => Math.max(1, Math.round(share * peakQps)));
  return {
    ...bed('offered rates', 'given', given, SWEEP),
    crossCheckQps: Math.max(1, Math.round(0.4 * peakQps)),
    systems: ['A', 'B'],
    loads: [...new Set(rates)].map((qps) => ({ load: { kind: 'open', qps }, sweep: { name: 'rate', value: qps } })),
  };
}

function histories(given: Shape): Bed[] {
  return [0.25, 0.5, 1].map((share) => {
    const n = Math.round(given.n * share);
    return {
      ...bed(`histories of ${n}`, 'given', { ...given, n }, SWEEP),
      systems: ['A', 'B', 'C'],
      loads: [{ load: SATURATING, sweep: { name: 'history', value: n } }],
    };
  });
}

function candidates(given: Shape): Bed {
  return {
    ...bed('candidates', 'given', given, SWEEP),
    systems: ['A', 'B'],
    loads: [0.25, 0.5, 1, 2].map((share) => {
      const k = Math.round(given.k * share);
      return { load: SATURATING, candidates: k, sweep: { name: 'candidates', value: k } };
    }),
  };
}

function cells(given: Shape): Bed[] {
  return ([1, 2] as const).map((count) => ({
    ...bed(`${count} cell${count === 1 ? '' : 's'}`, 'given', given, SWEEP),
    systems: ['A'],
    cells: count,
    loads: [{ load: SATURATING, sweep: { name: 'cells', value: count } }],
  }));
}
