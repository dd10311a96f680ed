import { EXIT_CODES, OnepassError } from '@onepass/errors';
import type { DeviceBuffer, DeviceEngine } from '@onepass/inference';
import type { GpuCase } from '../gpu-case.js';
import { usualAttention, withCases } from './cases.js';
import { type CheckOutcome, failed, judged, leftOut, ok } from './check.js';
import type { CheckDesk } from './desk.js';

/** More than any device has; on a CPU more than one buffer may have. */
const TOO_MUCH = 2 ** 46;

/** Memory that is not there is refused in one sentence, and nobody else notices. */
export async function tooMuchAsked(desk: CheckDesk): Promise<CheckOutcome> {
  const [engine, bed] = [await desk.engine(), await desk.bed()];
  return withCases(bed, [await smallCase(desk)], async ([small]) => {
    const before = await small!.outputs();
    const refused = await refusalOf(engine.allocate(desk.onCuda ? TOO_MUCH : 2 ** 33));
    if (refused?.kind !== 'startup')
      return failed(refused === undefined ? 'it was given' : `refused as ${refused.kind}`);
    (await engine.allocate(1 << 20)).close();
    return besides(before, await small!.outputs(), refused.message);
  });
}

/** With the device full, a run that wants memory cannot be prepared; those that are go on, and when there is room again it can be. In a process of its own. */
export async function fullDevice(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut("a CPU's memory is not filled for a check");
  const { told, end } = await desk.task<CheckOutcome>('full device');
  return told ?? failed(end);
}

/** The task: sessions that have not worked yet have no memory of their own to fall back on. */
export async function fillDevice(desk: CheckDesk): Promise<CheckOutcome> {
  const [engine, bed, small] = [await desk.engine(), await desk.bed(), await smallCase(desk)];
  const { batch } = desk.terms.shape;
  const large: GpuCase = { ...small, timed: 'recompute', rows: 0, batch, attention: 'plain', captured: true };
  return withCases(bed, [small], async ([ready]) => {
    const before = await ready!.outputs();
    await bed.load(bed.fileOf(large), true);
    const filling = await fill(engine);
    const refused = await refusalOf(bed.prepare(large));
    const beside = await ready!.outputs().finally(() => {
      for (const buffer of filling) buffer.close();
    });
    if (refused === undefined) return leftOut('a full device still had room for the largest run');
    if (refused.kind !== 'startup') return failed(`refused as ${refused.kind}: ${refused.message}`);
    (await bed.prepare(large)).close();
    return besides(before, beside, refused.message);
  });
}

/** A run that reads where nothing is ends its process with the code of a lost device, and one sentence. */
export async function lostDevice(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut('a CPU is not lost');
  const { code, end, told } = await desk.task<string>('illegal address');
  if (code === EXIT_CODES.lostDevice) return ok(end);
  return failed(told === undefined ? end : `the process went on: ${told}`);
}

/** A process that has closed its engine ends by itself. */
export async function goodEnd(desk: CheckDesk): Promise<CheckOutcome> {
  const { code, end, told } = await desk.task<string>('open and close');
  return code === 0 && told !== undefined ? ok(told) : failed(end);
}

async function smallCase(desk: CheckDesk): Promise<GpuCase> {
  const attention = usualAttention(await desk.model());
  return { system: 'onepass', timed: 'append', batch: 1, rows: 1, attention, captured: desk.onCuda };
}

const besides = (before: Float32Array, after: Float32Array, sentence: string) =>
  judged(
    before.some((value, i) => !Object.is(value, after[i])) ? ['a run beside it gives other numbers than before'] : [],
    sentence,
  );

/** Undefined when it was not refused. */
async function refusalOf(asked: Promise<unknown>): Promise<OnepassError | undefined> {
  return asked.then(
    () => undefined,
    (error: unknown) => OnepassError.from(error),
  );
}

/** Left free for what the driver itself may want. */
const LEFT_BYTES = 16 << 20;

/** All of the device, in pieces that become smaller. */
async function fill(engine: DeviceEngine): Promise<DeviceBuffer[]> {
  const taken: DeviceBuffer[] = [];
  let piece = 2 ** Math.floor(Math.log2(engine.memory().freeBytes));
  while (piece >= 1 << 20) {
    const isThere = engine.memory().freeBytes - LEFT_BYTES >= piece;
    const buffer = isThere ? await engine.allocate(piece).catch(() => undefined) : undefined;
    if (buffer === undefined) piece /= 2;
    else taken.push(buffer);
  }
  return taken;
}
