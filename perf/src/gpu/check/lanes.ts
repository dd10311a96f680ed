import { setImmediate } from 'node:timers/promises';
import { median } from '../../statistics.js';
import { type BedCase, TrunkBed } from '../bed.js';
import { PAGE } from '../bench-cases.js';
import { describeCase, type GpuCase, type Timed } from '../gpu-case.js';
import { usualAttention, withCases } from './cases.js';
import { type CheckOutcome, failed, judged, ok } from './check.js';
import { type CheckDesk, LANES } from './desk.js';

const MOST_LANES = 4;
const TURNS = 5;
/** Of one lane's throughput: lanes that do less than that get in each other's way. */
const LEAST_SHARE = 0.8;

async function casesOf(desk: CheckDesk): Promise<Record<'append' | 'page' | 'whole', GpuCase>> {
  const attention = usualAttention(await desk.model());
  const of = (timed: Timed, batch: number, rows = 0): GpuCase => {
    return { system: 'onepass', timed, batch, rows, attention, captured: desk.onCuda };
  };
  return { append: of('append', 1, 1), page: of('rank', 1), whole: of('rank', desk.terms.shape.batch) };
}

/** Runs a second with one, two and four lanes at work, in turns. */
export async function throughput(desk: CheckDesk): Promise<CheckOutcome> {
  const engine = await desk.openEngine(MOST_LANES);
  const bed = await TrunkBed.open(engine, await desk.graphs(), { ...desk.terms.shape, ...PAGE });
  const cases = Object.values(await casesOf(desk));
  const ms = desk.terms.smoke ? 10 : 300;
  return withCases(bed, cases, async (ready) => {
    const numbers: Record<string, number> = {};
    const told: string[] = [];
    for (const one of ready) {
      const rates = new Map<number, number[]>([1, 2, MOST_LANES].map((lanes) => [lanes, []]));
      for (let turn = 0; turn < TURNS; turn++)
        for (const [lanes, seen] of rates) seen.push(await perSecond(one, lanes, ms));
      const alone = median(rates.get(1)!);
      const share = (lanes: number) => median(rates.get(lanes)!) / alone;
      const name = describeCase(one.case);
      numbers[name] = alone;
      for (const lanes of [2, MOST_LANES]) numbers[`${name}, ${lanes} lanes`] = share(lanes);
      told.push(
        `${name}: ${alone.toFixed(0)} a second in one lane, ${share(2).toFixed(2)} times that in 2, ${share(MOST_LANES).toFixed(2)} in ${MOST_LANES}`,
      );
    }
    const slow = Object.entries(numbers).filter(([name, share]) => name.endsWith(' lanes') && !(share >= LEAST_SHARE));
    const complaints = desk.onCuda
      ? slow.map(([name, share]) => `${name} do ${share.toFixed(2)} of what one does`)
      : [];
    return judged(complaints, told.join('; '), numbers);
  });
}

async function perSecond(ready: BedCase, inFlight: number, ms: number): Promise<number> {
  const began = performance.now();
  let runs = 0;
  const caller = async () => {
    do {
      await ready.time(1);
      runs++;
    } while (performance.now() - began < ms);
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return (1000 * runs) / (performance.now() - began);
}

/** Short runs in one lane end while long ones are under way in another: nothing waits for a stream that is everybody's. */
export async function shortBesideLong(desk: CheckDesk): Promise<CheckOutcome> {
  const bed = await desk.bed();
  const { append, whole } = await casesOf(desk);
  const asked = { ...whole, timed: 'recompute', captured: false } as const;
  const longs = desk.terms.smoke ? 3 : 10;
  return withCases(bed, [append, asked], async ([short, long]) => {
    let [isUnderWay, done] = [true, 0];
    const shorts = async () => {
      while (isUnderWay) {
        await short!.time(1);
        if (isUnderWay) done++;
      }
    };
    const both = [
      long!.time(longs).finally(() => {
        isUnderWay = false;
      }),
      shorts(),
    ];
    await Promise.all(both);
    const each = done / longs;
    const says = `${each.toFixed(1)} runs of ${describeCase(append)} while one of ${describeCase(asked)} is under way`;
    const numbers = { each };
    return each > 1 || !desk.onCuda
      ? ok(says, numbers)
      : failed(`only ${says}, as if ${LANES} lanes were one`, numbers);
  });
}

/** How long giving back a prepared run's memory holds up the main thread while another runs: CUDA waits for the whole device. */
export async function closeBesideRun(desk: CheckDesk): Promise<CheckOutcome> {
  const bed = await desk.bed();
  const { append, whole } = await casesOf(desk);
  const asked = { ...whole, timed: 'recompute', captured: false } as const;
  return withCases(bed, [asked], async ([long]) => {
    const shorts: BedCase[] = [];
    for (let i = 0; i < CLOSED; i++) shorts.push(await bed.prepare(append));
    const [longMicros] = (await long!.time(1)).deviceMicros;
    const under = long!.time(CLOSED);
    const closings: number[] = [];
    for (const short of shorts) {
      // The run's turn comes first.
      await setImmediate();
      const began = performance.now();
      short.close();
      closings.push(performance.now() - began);
    }
    await under;
    const [ms, longMs] = [Math.max(...closings), longMicros! / 1000];
    return ok(`at most ${ms.toFixed(2)} ms beside runs of ${longMs.toFixed(2)} ms`, { ms, longMs });
  });
}

const CLOSED = 5;
