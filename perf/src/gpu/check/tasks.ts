import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceBuffer } from '@onepass/inference';
import { describeGpuMachine, type GpuMachine } from '../gpu-machine.js';
import { referenceProbabilities } from '../reference.js';
import { passesOf, usualAttention, withCases } from './cases.js';
import { CheckDesk, type CheckTerms, type DeviceTerms, openEngine } from './desk.js';
import { fillDevice } from './faults.js';
import { prepareAll } from './fits.js';
import { runForKernels } from './kernels.js';
import type { TaskName } from './task-name.js';
import { timeWaits, type Waiting } from './wait.js';

const TASKS = {
  reference: writeReference,
  wait: (desk, args) => timeWaits(desk, args as { waiting: Waiting }),
  kernels: runForKernels,
  fits: prepareAll,
  'full device': fillDevice,
  'illegal address': readNowhere,
  'open and close': openAndClose,
} as const satisfies Record<TaskName, (desk: CheckDesk, args: unknown) => Promise<unknown>>;

/** What can be asked before it is known what is checked. */
export const DESCRIBE = 'describe';

/** @returns what the check is told, when the device is closed again */
export async function runTask(name: string, terms: CheckTerms, args: unknown): Promise<unknown> {
  if (name === DESCRIBE) return describe(terms);
  const task: (desk: CheckDesk, args: unknown) => Promise<unknown> = TASKS[name as TaskName];
  const desk = new CheckDesk(terms);
  const told = await task(desk, args);
  await desk.close();
  return told;
}

async function describe(terms: DeviceTerms): Promise<GpuMachine> {
  const engine = await openEngine(terms, 1);
  const machine = await describeGpuMachine(engine);
  await engine.close();
  return machine;
}

/** @returns nothing; it is in the file */
async function writeReference(desk: CheckDesk, args: unknown): Promise<void> {
  const { shape, libraries } = desk.terms;
  const found = await referenceProbabilities(await desk.graphs('float32'), shape, libraries);
  await writeFile((args as { file: string }).file, new Uint8Array(found.buffer, found.byteOffset, found.byteLength));
}

/** Pools at an address where nothing is, read by the gather. */
async function readNowhere(desk: CheckDesk): Promise<string> {
  const engine = await desk.openEngine(1);
  const { folder, description } = await desk.graphs();
  const { pageTokens, width } = description;
  const gather = await engine.load(join(folder, description.graphs.gather), { capture: false });
  const nowhere: DeviceBuffer = { bytes: 4 * pageTokens * width * 4, address: 4096n, close: () => {} };
  const pools = gather.inputs.filter(({ name }) => name.includes('_pool_')).map(({ name }) => [name, nowhere]);
  await gather.prepare({ b: 1, g: 1, r: 4 * pageTokens, p: pageTokens }, Object.fromEntries(pools));
  return 'reading memory that nobody has was no error';
}

/** One run of each pass, and all closed again. */
async function openAndClose(desk: CheckDesk): Promise<string> {
  const [model, bed] = [await desk.model(), await desk.bed()];
  const passes = passesOf(model, usualAttention(model), desk.terms.shape, 1, desk.onCuda);
  await withCases(bed, passes, async (ready) => {
    for (const one of ready) await one.time(1);
  });
  return `${passes.length} passes`;
}
