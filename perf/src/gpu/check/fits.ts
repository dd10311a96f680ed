import { TrunkBed } from '../bed.js';
import { PAGE } from '../bench-cases.js';
import { Reasons } from '../reasons.js';
import { sentenceOf } from '../sentence.js';
import { attentionsOf, passesOf } from './cases.js';
import { type CheckOutcome, failed, judged, leftOut } from './check.js';
import type { CheckDesk } from './desk.js';

/** Whether the device has room for the shape: every pass at the whole batch, side by side, as the bench has them. */
export async function fits(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut("a CPU's memory is everybody's");
  const { told, end } = await desk.task<CheckOutcome>('fits');
  return told ?? failed(end);
}

/** The task, in a process in which nothing else is. */
export async function prepareAll(desk: CheckDesk): Promise<CheckOutcome> {
  const engine = await desk.openEngine(1);
  const { freeBytes, totalBytes } = engine.memory();
  const { shape } = desk.terms;
  const model = await desk.model();
  const bed = await TrunkBed.open(engine, await desk.graphs(), { ...shape, ...PAGE });
  const reasons = new Reasons();
  // Each is there twice in the bench, captured and not, and takes as much both times.
  const passes = attentionsOf(model).flatMap((attention) => passesOf(model, attention, shape, shape.batch, true));
  for (const asked of passes) await bed.prepare(asked).catch((error) => reasons.add(asked, sentenceOf(error)));
  const takenBytes = freeBytes - engine.memory().freeBytes;
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const says = `${passes.length} passes of ${shape.batch} people take ${gib(takenBytes)} of ${gib(totalBytes)} GiB, KV of one ${(bed.kvBytes / shape.batch / 2 ** 20).toFixed(1)} MiB`;
  return judged(reasons.lines, says, { takenBytes, totalBytes });
}
