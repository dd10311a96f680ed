import { startupError } from '@onepass/errors';
import type { BedCase, TrunkBed } from '../bed.js';
import { describeCase, type GpuCase } from '../gpu-case.js';
import { batchesUpTo } from '../options.js';
import { Reasons } from '../reasons.js';
import { sentenceOf } from '../sentence.js';
import { passesOf, withCases } from './cases.js';
import { type CheckOutcome, judged, leftOut } from './check.js';
import type { CheckDesk } from './desk.js';
import { Differences } from './same.js';

/** The first captured run of every pass, and one with other inputs, beside runs that are not captured. */
export async function capturedAsNot(desk: CheckDesk, attention: string): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut('a CPU captures no runs');
  const { shape } = desk.terms;
  const [model, bed] = [await desk.model(), await desk.bed()];
  const found = new Differences(shape.dtype);
  const reasons = new Reasons();
  const passes = passesOf(model, attention, shape, shape.batch, true);
  for (const asked of passes.filter(({ timed }) => timed !== 'gather'))
    await bothWays(bed, asked, found).catch((error) => {
      reasons.add(asked, sentenceOf(error));
    });
  return judged(
    [...found.complaints, ...reasons.lines],
    `${passes.map(({ timed }) => timed).join(', ')}: ${found.says}`,
    {
      off: found.worst,
    },
  );
}

async function bothWays(bed: TrunkBed, asked: GpuCase, found: Differences): Promise<void> {
  const name = describeCase(asked);
  // What is ranked on must be there.
  const before: GpuCase[] =
    asked.timed === 'rank' ? [{ ...asked, timed: 'encode', rows: bed.tokens, captured: false }] : [];
  await withCases(bed, [...before, { ...asked, captured: false }, asked], async (ready) => {
    for (const encode of ready.slice(0, before.length)) await encode.outputs();
    const [plain, captured] = ready.slice(before.length) as [BedCase, BedCase];
    const [wanted, first] = [await plain.outputs(), await captured.outputs()];
    found.see(`numbers of the first captured run of ${name}`, wanted, first);
    const [other, changed] = [await plain.outputs(1), await captured.outputs(1)];
    found.see(`numbers of a captured run of ${name} with other inputs`, other, changed);
    if (changed.every((value, i) => Object.is(value, first[i])))
      throw startupError('a captured run gives the same whatever its inputs are');
  });
}

/** Runs of other shapes and with other inputs in between change nothing of what a prepared run gives, in any lane. */
export async function replays(desk: CheckDesk, attention: string): Promise<CheckOutcome> {
  const { shape } = desk.terms;
  const [model, bed] = [await desk.model(), await desk.bed()];
  const of = (batch: number, appended: number) => passesOf(model, attention, shape, batch, desk.onCuda, appended);
  const whole = of(shape.batch, 1);
  const others = batchesUpTo(shape.batch).flatMap((batch) => of(batch, Math.min(5, shape.n - 1)));
  const found = new Differences(shape.dtype);
  return withCases(bed, [...whole, ...others], async (ready) => {
    const [asked, between] = [ready.slice(0, whole.length), ready.slice(whole.length)];
    const before = await allTwice(asked, 0);
    for (let turn = 0; turn < (desk.terms.smoke ? 1 : 3); turn++) {
      for (const variant of [1, 2]) await allTwice([...between, ...asked], variant);
      const after = await allTwice(asked, 0);
      for (const [i, { case: pass }] of asked.entries())
        for (const [j, numbers] of after[i]!.entries())
          found.see(`numbers of ${describeCase(pass)} replayed after other runs`, before[i]![j]!, numbers);
    }
    return judged([...new Set(found.complaints)], `after ${between.length} other shapes: ${found.says}`, {
      off: found.worst,
    });
  });
}

/** Each run twice at one time, so that every lane has one: they write the same. */
async function allTwice(cases: readonly BedCase[], variant: number): Promise<Float32Array[][]> {
  const all: Float32Array[][] = [];
  for (const one of cases) all.push(await Promise.all([one.outputs(variant), one.outputs(variant)]));
  return all;
}
