import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openItems, type Release } from '@onepass/release';
import { gatewayTarget, type LoadOptions, type SentLoad, sendLoad, traceOf } from '../../kit/load/index.js';
import { slotMiB } from '../../kit/shape/memory.js';
import { commonSettings, kvSlotsOf, startSystem } from '../../kit/systems/systems.js';
import { habitsOf, pageOf, servedShape } from '../../page.js';
import { writeHistories } from '../../people.js';
import { lengthOf } from '../measure/measure-times.js';
import { toldOf } from '../sim/replay-trace.js';
import type { ServiceTimes } from '../sim/service-times.js';
import type { Compared } from './compare.js';
import { predict } from './predict.js';

export interface ValidateTerms {
  readonly release: Release;
  readonly releaseDir: string;
  readonly times: ServiceTimes;
  readonly effort: ValidateEffort;
  readonly progress: (line: string) => void;
  /** JavaScript file of the replayer; absent: the built one. */
  readonly replayer?: string;
}

export interface ValidateEffort {
  readonly cells: readonly (1 | 2)[];
  /** Pages a second, slowest first. */
  readonly rates: readonly number[];
  /** Of all cells together: a multiple of four. */
  readonly slots: number;
  readonly people: number;
  readonly warmUpSeconds: number;
  /** Of each load: enough for a 99th percentile. */
  readonly pages: number;
  /** A load before the first one, which counts nowhere. */
  readonly heatSeconds: number;
}

export const FULL_EFFORT: ValidateEffort = {
  ...{ cells: [1, 2], rates: [24, 44], slots: 160, people: 1_500 },
  ...{ warmUpSeconds: 8, pages: 1_150, heatSeconds: 30 },
};
export const SMOKE_EFFORT: ValidateEffort = {
  ...{ cells: [1], rates: [10], slots: 16, people: 120 },
  ...{ warmUpSeconds: 0.5, pages: 20, heatSeconds: 0.5 },
};

/** A day is pressed into so much: sessions come and go within a load, and more people than there are slots are between two of their pages. */
const DAY_MS = 60_000;

/**
 * Real meshes of one and two cells under sessions of people, more than they have slots for, and the same traces simulated. Loads of one mesh follow each
 * other from the slowest on, in both.
 * @throws OnepassError `startup` when a mesh does not start
 */
export async function validate(terms: ValidateTerms): Promise<Compared[]> {
  const compared: Compared[] = [];
  for (const cells of terms.effort.cells) compared.push(...(await validateCells(terms, cells)));
  return compared;
}

async function validateCells(
  { release, releaseDir, times, effort, progress, replayer }: ValidateTerms,
  cells: 1 | 2,
): Promise<Compared[]> {
  const shape = servedShape(release);
  const page = pageOf(release);
  const length = lengthOf(release);
  const { people, slots: wanted, pages, rates, warmUpSeconds } = effort;
  const secondsAt = (qps: number) => Math.ceil(pages / qps);
  const { ids: itemIds } = await openItems(release);
  const habits = habitsOf(release, page);
  const folder = await mkdtemp(join(tmpdir(), 'onepass-validate-'));
  const settings = commonSettings(shape);
  const kvMiB = (wanted + 1) * slotMiB(shape);
  progress(`starting ${cells === 1 ? 'one cell' : `${cells} cells`} and writing histories of ${people} people`);
  const system = await startSystem('A', { releaseDir, folder, settings, cells, kvMiB });
  try {
    await writeHistories(system.address, itemIds, habits, { count: people, length, nowMs: Date.now() });
    const { slots } = kvSlotsOf('A', release.manifest.model, { kvMiB, cells, settings });
    // Plain pages alone: they are what was taken apart.
    const parameters = { surfaces: { related: 0, search: 0 } };
    const optionsOf = (load: number, plan: { seconds: number; warmUpSeconds: number }): LoadOptions => ({
      ...plan,
      ...{ people, page, folder, protoset: '' },
      trace: { seed: 100 + load, habits, itemIds, surfaces: [], queries: [], dayMs: DAY_MS, parameters },
      ...(replayer !== undefined && { replayer }),
    });
    const heat = { seconds: effort.heatSeconds, warmUpSeconds: 0 };
    const loads = [
      { qps: rates.at(-1)!, options: optionsOf(0, heat) },
      ...rates.map((qps, i) => ({ qps, options: optionsOf(i + 1, { seconds: secondsAt(qps), warmUpSeconds }) })),
    ].map(({ qps, options }) => ({ load: { kind: 'trace', people, qps } as const, options }));
    const target = gatewayTarget(system.address, () => system.pids());
    const sent: SentLoad[] = [];
    for (const { load, options } of loads) {
      progress(`  ${load.qps} pages a second`);
      sent.push(await sendLoad(load, target, options));
    }
    const predicted = await predict({
      ...{ release, times, length, seed: 1 },
      told: {
        ...{ cells: cellNames(cells), slots },
        inFlight: Number(settings.ONEPASS_INFERENCE_IN_FLIGHT),
        budgetMs: Number(settings.ONEPASS_BUDGET_MS),
        restMs: Number(settings.ONEPASS_KV_REST_MS),
      },
      loads: loads.map(({ load, options }) => traceOf(load, options)),
    });
    const windowAt = (qps: number) => ({
      fromMs: 1000 * warmUpSeconds,
      toMs: 1000 * (warmUpSeconds + secondsAt(qps)),
    });
    return rates.map((qps, i) => ({
      ...{ cells, slots: cells * slots, people, qps },
      predicted: toldOf(predicted[i + 1]!, windowAt(qps)),
      measured: measuredOf(sent[i + 1]!),
    }));
  } finally {
    await system.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** As `Mesh` names them, so that the same people belong to the same cells. */
function cellNames(cells: number): string[] {
  return Array.from({ length: cells }, (_, i) => `cell-${i + 1}`);
}

function measuredOf({ seen, kv }: SentLoad): Compared['measured'] {
  const { slot = 0, append = 0, recompute = 0 } = kv;
  const { calls, good, latencyMs, errors } = seen;
  const refused = errors.RESOURCE_EXHAUSTED ?? 0;
  return {
    pages: calls,
    held: (slot + append) / Math.max(1, slot + append + recompute),
    p50Ms: latencyMs.p50,
    p99Ms: latencyMs.p99 ?? Number.NaN,
    refused: refused / Math.max(1, calls),
    late: (calls - good - refused) / Math.max(1, calls),
  };
}
