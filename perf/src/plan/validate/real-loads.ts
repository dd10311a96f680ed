import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openItems, type Release } from '@onepass/release';
import { gatewayTarget, type LoadOptions, type SentLoad, sendLoad, traceOf } from '../../kit/load/index.js';
import { slotMiB } from '../../kit/shape/memory.js';
import { commonSettings, kvSlotsOf, startSystem } from '../../kit/systems/systems.js';
import { habitsOf, pageOf, servedShape } from '../../page.js';
import { writeHistories } from '../../people.js';
import { lengthOf } from '../history-length.js';
import type { Told } from '../sim/replay-trace.js';
import type { RealLoads } from './loads.js';

export interface RealTerms {
  readonly release: Release;
  readonly releaseDir: string;
  readonly progress: (line: string) => void;
  /** JavaScript file of the replayer; absent: the built one. */
  readonly replayer?: string;
}

export interface RealEffort {
  /** Pages a second, slowest first. */
  readonly rates: readonly number[];
  /** All rates one after the other, so many times: what a machine does beside hits all of them alike. */
  readonly rounds: number;
  /** Of all cells together: a multiple of four. */
  readonly slots: number;
  readonly people: number;
  readonly warmUpSeconds: number;
  /** Of each load of each round: a thousand are enough for a 99th percentile. */
  readonly pages: number;
  /** A load before the first one, which counts nowhere: until the JavaScript is compiled. */
  readonly heatSeconds: number;
}

/** A day is pressed into so much: sessions come and go within a load, and more people than there are slots are between two of their pages. */
const DAY_MS = 60_000;

/**
 * Starts real meshes of so many cells, side by side, and sends them sessions of people, more than they have slots for. Each load goes to one mesh after the
 * other, while the others stand idle: machines are not the same all the time.
 * @throws OnepassError `startup` when one does not start
 */
export async function sendRealLoads(
  terms: RealTerms,
  effort: RealEffort,
  meshes: readonly (1 | 2)[],
): Promise<RealLoads[]> {
  const folder = await mkdtemp(join(tmpdir(), 'onepass-validate-'));
  const open: RealMesh[] = [];
  try {
    for (const cells of meshes) open.push(await openMesh(terms, effort, cells, join(folder, String(cells))));
    const seen: Told[][] = open.map(() => []);
    for (const load of plansOf(effort).keys()) {
      for (const [i, mesh] of open.entries()) seen[i]!.push(await mesh.send(load));
    }
    return open.map(({ loads }, i) => ({ ...loads, seen: seen[i]! }));
  } finally {
    for (const mesh of open) await mesh.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface LoadPlan {
  readonly qps: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** The first one heats. */
function plansOf({ rates, rounds, pages, warmUpSeconds, heatSeconds }: RealEffort): LoadPlan[] {
  const counted = Array.from({ length: rounds }, () => rates)
    .flat()
    .map((qps) => ({ qps, seconds: Math.ceil(pages / qps), warmUpSeconds }));
  return [{ qps: rates.at(-1)!, seconds: heatSeconds, warmUpSeconds: 0 }, ...counted];
}

interface RealMesh {
  readonly loads: Omit<RealLoads, 'seen'>;
  send(load: number): Promise<Told>;
  stop(): Promise<void>;
}

/** Its people have histories. */
async function openMesh(
  { release, releaseDir, progress, replayer }: RealTerms,
  effort: RealEffort,
  cells: 1 | 2,
  folder: string,
): Promise<RealMesh> {
  const { people, slots: wanted } = effort;
  const shape = servedShape(release);
  const page = pageOf(release);
  const length = lengthOf(release);
  const { ids: itemIds } = await openItems(release);
  const habits = habitsOf(release, page);
  const settings = commonSettings(shape);
  const kvMiB = (wanted + 1) * slotMiB(shape);
  const name = cells === 1 ? 'one cell' : `${cells} cells`;
  progress(`starting ${name} and writing histories of ${people} people`);
  const system = await startSystem('A', { releaseDir, folder, settings, cells, kvMiB });
  try {
    await writeHistories(system.address, itemIds, habits, { count: people, length, nowMs: Date.now() });
  } catch (error) {
    await system.stop();
    throw error;
  }
  // Plain pages alone: they are what was taken apart.
  const parameters = { surfaces: { related: 0, search: 0 } };
  const sent = plansOf(effort).map(({ qps, ...plan }, i) => {
    const options: LoadOptions = {
      ...plan,
      ...{ people, page, folder, protoset: '' },
      trace: { seed: 100 + i, habits, itemIds, surfaces: [], queries: [], dayMs: DAY_MS, parameters },
      ...(replayer !== undefined && { replayer }),
    };
    return { load: { kind: 'trace', people, qps } as const, options };
  });
  const target = gatewayTarget(system.address, () => system.pids());
  const { slots } = kvSlotsOf('A', release.manifest.model, { kvMiB, cells, settings });
  return {
    loads: {
      told: {
        ...{ cells: cellNames(cells), slots },
        inFlight: Number(settings.ONEPASS_INFERENCE_IN_FLIGHT),
        budgetMs: Number(settings.ONEPASS_BUDGET_MS),
        restMs: Number(settings.ONEPASS_KV_REST_MS),
      },
      length,
      traces: sent.map(({ load, options }) => traceOf(load, options)),
      windows: plansOf(effort).map(({ seconds, warmUpSeconds: warmUp }) => ({
        fromMs: 1000 * warmUp,
        toMs: 1000 * (warmUp + seconds),
      })),
    },
    send: async (i) => {
      const { load, options } = sent[i]!;
      const before = cpuTicks();
      const told = toldOfReal(await sendLoad(load, target, options));
      progress(`  ${name}, ${load.qps} pages a second: ${tellSeen(told)}; ${tellTaken(before, cpuTicks())}`);
      return told;
    },
    stop: () => system.stop(),
  };
}

const tellSeen = ({ p50Ms, p99Ms }: Told) => `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`;

interface CpuTicks {
  readonly used: number;
  /** That a virtual machine's host gave to others, though there was something to do. */
  readonly stolen: number;
}

/** Of all cores since the machine's start. */
function cpuTicks(): CpuTicks {
  const [user, nice, system, , , irq, softirq, stolen] = readFileSync('/proc/stat', 'utf8')
    .slice(0, 200)
    .split(/\s+/)
    .slice(1, 9)
    .map(Number) as [number, number, number, number, number, number, number, number];
  return { used: user + nice + system + irq + softirq, stolen };
}

/** Where the host takes much, a load was another than the one before. */
function tellTaken(before: CpuTicks, after: CpuTicks): string {
  const stolen = after.stolen - before.stolen;
  const wanted = after.used - before.used + stolen;
  return `the host took ${((100 * stolen) / Math.max(1, wanted)).toFixed(1)}% of the CPU`;
}

/** As `Mesh` names them, so that the same people belong to the same cells. */
function cellNames(cells: number): string[] {
  return Array.from({ length: cells }, (_, i) => `cell-${i + 1}`);
}

function toldOfReal({ seen, kv }: SentLoad): Told {
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
