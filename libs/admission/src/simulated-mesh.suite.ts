// A machine of a few cores that makes pages, in simulated time, behind an Admission or behind nothing.
import { Admission, type AdmissionOptions } from './admission.js';
import { PRIORITIES, type Priority } from './priority.js';

export interface MeshModel {
  readonly cores: number;
  /** Work of one page, in core-ms, on average. */
  readonly workMs: number;
  /** By when a page must be done after its arrival. */
  readonly budgetMs: number;
  /** Core-ms that refusing one call costs. */
  readonly refusalMs: number;
  /** Share of the cores that each call in flight costs all others: caches, switching. */
  readonly contention: number;
}

export const TWO_CORES: MeshModel = { cores: 2, workMs: 14, budgetMs: 300, refusalMs: 0.3, contention: 0.003 };

export interface Offered {
  /** Calls a second. */
  readonly rate: number;
  readonly seconds: number;
  readonly priority?: Priority;
}

export interface Seen {
  /** Whole pages in time, a second. */
  readonly goodput: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly refused: number;
  /** Share of the refusals that came only after a wait. */
  readonly refusedLate: number;
  readonly late: number;
  readonly longestLine: number;
  readonly finalLimit: number;
}

interface Page {
  leftMs: number;
  readonly arrivedMs: number;
  readonly finish: (outcome: 'whole' | 'late') => void;
}

const STEP_MS = 0.25;
/** Not counted: the limit is still finding its place. */
const SETTLING_MS = 5_000;

/** @returns by priority offered, what became of it after the first five seconds */
export function simulate(
  model: MeshModel,
  options: AdmissionOptions,
  offered: readonly Offered[],
  seed = 1,
): Record<Priority, Seen> {
  const random = mulberry32(seed);
  let now = 0;
  const admission = new Admission(options, () => now);
  const inService = new Set<Page>();
  const tally = Object.fromEntries(
    PRIORITIES.map((p) => [p, { times: [] as number[], refused: 0, refusedLate: 0, late: 0 }]),
  ) as Record<Priority, { times: number[]; refused: number; refusedLate: number; late: number }>;
  const sources = offered.map(({ rate, priority = 'interactive' }) => ({ rate, priority, nextMs: 0 }));
  const endMs = Math.max(...offered.map(({ seconds }) => seconds)) * 1000;
  let refusalWork = 0;
  let longestLine = 0;

  const arrive = (priority: Priority) => {
    const arrivedMs = now;
    const counted = now >= SETTLING_MS;
    const refuse = (waited: boolean) => {
      refusalWork += model.refusalMs;
      if (!counted) return;
      tally[priority].refused += 1;
      if (waited) tally[priority].refusedLate += 1;
    };
    try {
      admission.apply({
        priority,
        deadlineMs: arrivedMs + model.budgetMs,
        drop: () => refuse(true),
        begin: (ticket) => {
          const finish = (outcome: 'whole' | 'late') => {
            if (counted && outcome === 'whole') tally[priority].times.push(now - arrivedMs);
            else if (counted) tally[priority].late += 1;
            ticket.finish(outcome);
          };
          inService.add({ leftMs: model.workMs * (0.7 - 0.3 * Math.log(1 - random())), arrivedMs, finish });
        },
      });
    } catch {
      refuse(false);
    }
    longestLine = Math.max(longestLine, lineOf(admission));
  };

  for (; now < endMs; now += STEP_MS) {
    for (const source of sources) {
      for (; source.nextMs <= now; source.nextMs += (-Math.log(1 - random()) * 1000) / source.rate)
        arrive(source.priority);
    }
    let coreMs = model.cores * STEP_MS;
    const spent = Math.min(coreMs, refusalWork);
    refusalWork -= spent;
    coreMs -= spent;
    const each = Math.min(STEP_MS, coreMs / inService.size) / (1 + model.contention * inService.size);
    for (const page of [...inService]) {
      page.leftMs -= each;
      const late = now - page.arrivedMs > model.budgetMs;
      if (page.leftMs > 0 && !late) continue;
      inService.delete(page);
      page.finish(page.leftMs > 0 ? 'late' : 'whole');
    }
  }
  const counted = (endMs - SETTLING_MS) / 1000;
  return Object.fromEntries(
    PRIORITIES.map((priority): [Priority, Seen] => {
      const { times, refused, refusedLate, late } = tally[priority];
      times.sort((a, b) => a - b);
      return [
        priority,
        {
          goodput: times.length / counted,
          p50Ms: times[Math.floor(times.length * 0.5)] ?? Number.NaN,
          p99Ms: times[Math.floor(times.length * 0.99)] ?? Number.NaN,
          refused: refused / counted,
          refusedLate: refusedLate / Math.max(1, refused),
          late: late / counted,
          longestLine,
          finalLimit: admission.limit,
        },
      ];
    }),
  ) as Record<Priority, Seen>;
}

function lineOf(admission: Admission): number {
  return PRIORITIES.reduce((sum, priority) => sum + admission.waiting(priority), 0);
}

/** Small seeded generator (Tommy Ettinger's mulberry32), numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
