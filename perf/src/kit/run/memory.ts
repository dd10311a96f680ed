import { freemem } from 'node:os';
import { startupError } from '@onepass/errors';
import type { Shape, SystemName } from '../measurements.js';
import { isMonolith } from '../monolith/monolith.js';
import { describeShape } from '../report/findings.js';
import { CONTEXT_ROWS, slotMiB, weightsMiB } from '../shape/memory.js';
import { commonSettings, kvSlotsOf, MESH_SYSTEMS } from '../systems/systems.js';
import type { Bed } from './plan.js';

const MIB = 2 ** 20;
/** Of a process of ours or the monolith without weights and KV; and of the bench itself with a sender. */
const PROCESS_MIB = 150;
const BENCH_MIB = 500;
/** ONNX Runtime keeps matrices a second time, packed. */
const COPIES = 2;
/** Of the bench, which times the graphs of both stages alone; and of the monolith, which is one process. */
const BOTH_STAGES = 2;

/** MiB of KV that a system may keep at this bed: a slot more than asked for, since slots are counted down to a multiple of four. */
export const kvMiBOf = ({ slots }: Pick<Bed, 'slots'>, model: Shape) => (slots + 1) * slotMiB(model);

/** MiB that one system takes: its processes, each with the weights that it runs, and its pools. */
function systemMiB(name: SystemName, bed: Bed, model: Shape): number {
  const kvMiB = kvMiBOf(bed, model);
  const weights = COPIES * weightsMiB(model);
  if (isMonolith(name)) return PROCESS_MIB + BOTH_STAGES * weights + (name === 'Gkv' ? kvMiB : 0);
  const { cells } = bed;
  const { encoders } = MESH_SYSTEMS[name];
  const { layers, width, n: window } = model;
  const { poolsMiB } = kvSlotsOf(
    name,
    { layers, width, window, contextRows: CONTEXT_ROWS },
    { kvMiB, cells, settings: commonSettings(bed.shape) },
  );
  // A gateway and a retrieval; in each cell a ranking and its encoders.
  const withWeights = cells * (1 + encoders);
  return (2 + withWeights) * PROCESS_MIB + withWeights * weights + poolsMiB;
}

/** MiB that a bed needs, generously: all its systems run side by side. @param model n is its window */
export function neededMiB(bed: Bed, model: Shape): number {
  const own = BENCH_MIB + BOTH_STAGES * COPIES * weightsMiB(model);
  return bed.systems.reduce((sum, name) => sum + systemMiB(name, bed, model), own);
}

/**
 * Before any work: refuses a bed that this machine has no memory for.
 * @param availableMiB of the machine, or of the group of processes that this one is confined to
 * @throws OnepassError `startup`, one sentence
 */
export function requireMemory(bed: Bed, model: Shape, availableMiB = availableMemoryMiB()): void {
  const needed = neededMiB(bed, model);
  if (needed <= availableMiB) return;
  const [gib, free] = [needed, availableMiB].map((mib) => (mib / 1024).toFixed(1));
  const { systems } = bed;
  const who =
    systems.length > 1
      ? `${systems.join(', ')} side by side need about`
      : `${systems[0] ?? 'timing the graphs'} needs about`;
  const mend = systems.length > 1 ? '; name fewer with --systems' : '';
  throw startupError(
    `this machine is too small for ${bed.title} (${describeShape(bed.shape)}): ${who} ${gib} GiB ` +
      `(a person's KV takes ${slotMiB(model).toFixed(1)} MiB), and ${free} GiB are free${mend}`,
  );
}

/** What could be had now, caches of files given back; within a container, of its limit. */
function availableMemoryMiB(): number {
  const confined = (process as { availableMemory?: () => number }).availableMemory?.() ?? Number.POSITIVE_INFINITY;
  return Math.min(freemem(), confined) / MIB;
}
