import { sentenceOf } from '../sentence.js';
import { filesOf } from './cases.js';
import { type CheckOutcome, judged, leftOut, ok } from './check.js';
import type { CheckDesk } from './desk.js';
import { LANES } from './desk.js';

/** Opens every graph of one kind of attention in all lanes, captured and not. */
export async function opens(desk: CheckDesk, attention: string): Promise<CheckOutcome> {
  const [engine, bed] = [await desk.engine(), await desk.bed()];
  const complaints: string[] = [];
  const laneBytes: Record<string, number> = {};
  for (const [kind, file] of filesOf(await desk.model(), attention)) {
    try {
      await bed.load(file, false);
      const before = engine.memory().freeBytes;
      await bed.load(file, true);
      laneBytes[kind] = (before - engine.memory().freeBytes) / LANES;
    } catch (error) {
      complaints.push(`${file}: ${sentenceOf(error)}`);
    }
  }
  const kinds = Object.keys(laneBytes);
  if (!desk.onCuda) return judged(complaints, `${kinds.join(', ')}`);
  const told = kinds.map((kind) => `${kind} ${(laneBytes[kind]! / 2 ** 20).toFixed(0)}`).join(', ');
  return judged(complaints, `in ${LANES} lanes; MiB a lane: ${told}`, laneBytes);
}

/** Whether runs of every graph of one kind of attention are captured. */
export async function captures(desk: CheckDesk, attention: string): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut('a CPU captures no runs');
  const bed = await desk.bed();
  const complaints: string[] = [];
  const files = filesOf(await desk.model(), attention);
  for (const [, file] of files) {
    const { on, reason } = await bed.capture(file).catch((error) => ({ on: false, reason: sentenceOf(error) }));
    if (!on) complaints.push(`${file}: ${reason}`);
  }
  return judged(complaints, files.map(([kind]) => kind).join(', '));
}

/** Opens the device in this process and says what it is. */
export async function device(desk: CheckDesk): Promise<CheckOutcome> {
  const engine = await desk.engine();
  const { freeBytes, totalBytes } = engine.memory();
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  return ok(`${engine.reason}; ${LANES} lanes, ${gib(freeBytes)} of ${gib(totalBytes)} GiB free`, {
    freeBytes,
    totalBytes,
  });
}
