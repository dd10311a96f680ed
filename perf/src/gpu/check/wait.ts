import { median } from '../../statistics.js';
import { TrunkBed } from '../bed.js';
import { PAGE } from '../bench-cases.js';
import { describeCase, type GpuCase } from '../gpu-case.js';
import { usualAttention, withCases } from './cases.js';
import { type CheckOutcome, failed, leftOut, ok } from './check.js';
import type { CheckDesk } from './desk.js';

/** How a lane's thread waits for the device. */
export const WAYS = ['sleep', 'spin'] as const;
export type Waiting = (typeof WAYS)[number];

/** Microseconds of a run. */
export interface WaitTimes {
  readonly name: string;
  readonly device: number;
  /** Of the whole process, all cores. */
  readonly cpu: number;
}

const RUNS = 200;

/** Time and CPU time of runs when the lane's thread sleeps until the device is done, and when it spins. */
export async function sleepOrSpin(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut('on a CPU there is nothing to wait for');
  const found = new Map<Waiting, WaitTimes[]>();
  for (const waiting of WAYS) {
    const { told, end } = await desk.task<WaitTimes[]>('wait', { waiting });
    if (told === undefined) return failed(`${waiting}: ${end}`);
    found.set(waiting, told);
  }
  const numbers: Record<string, number> = {};
  const told = found.get('sleep')!.map((sleep, i) => {
    const spin = found.get('spin')![i]!;
    for (const [way, { device, cpu }] of [
      ['sleep', sleep],
      ['spin', spin],
    ] as const) {
      numbers[`${sleep.name}, ${way}, us`] = device;
      numbers[`${sleep.name}, ${way}, CPU us`] = cpu;
    }
    const us = ({ device, cpu }: WaitTimes) => `${device.toFixed(0)} us and ${cpu.toFixed(0)} of CPU`;
    return `${sleep.name}: asleep ${us(sleep)}, spinning ${us(spin)}`;
  });
  return ok(told.join('; '), numbers);
}

/** The task: a device is told once how to wait. */
export async function timeWaits(desk: CheckDesk, { waiting }: { readonly waiting: Waiting }): Promise<WaitTimes[]> {
  const engine = await desk.openEngine(1, waiting === 'spin');
  const bed = await TrunkBed.open(engine, await desk.graphs(), { ...desk.terms.shape, ...PAGE });
  const attention = usualAttention(await desk.model());
  const of = { system: 'onepass', attention, captured: desk.onCuda } as const;
  const cases: GpuCase[] = [
    { ...of, timed: 'append', batch: 1, rows: 1 },
    { ...of, timed: 'rank', batch: 1, rows: 0 },
    { ...of, timed: 'rank', batch: desk.terms.shape.batch, rows: 0 },
  ];
  return withCases(bed, cases, async (ready) => {
    const times: WaitTimes[] = [];
    for (const one of ready) {
      await one.time(10);
      const before = process.cpuUsage();
      const { deviceMicros } = await one.time(RUNS);
      const { user, system } = process.cpuUsage(before);
      times.push({ name: describeCase(one.case), device: median(deviceMicros), cpu: (user + system) / RUNS });
    }
    return times;
  });
}
