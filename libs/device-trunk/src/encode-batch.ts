import { kvMiss } from '@onepass/errors';
import { answering, type BatchDeps, isStill, type Played, sumOfWork, waitedMicros } from './batch-run.js';
import type { EncodeSizes } from './buckets.js';
import type { DeviceKv } from './device-kv.js';
import type { PageWrite } from './page-writes.js';
import { areFinite, type EncodeEntry, fillEncode, hiddenOf } from './run-inputs.js';
import type { EncodeWork } from './trunk-ask.js';
import { trunkDefect } from './trunk-defect.js';

/** One person's encode in a run. */
interface Part {
  readonly work: EncodeWork;
  readonly write: PageWrite;
  readonly entry: EncodeEntry;
}

/** Whether the slot is still what the rows were made for. @throws OnepassError `kv_miss` */
function requireCurrent(kv: DeviceKv, { ask: { state, from }, count }: EncodeWork): void {
  if (state === undefined) return;
  kv.require(state);
  if (state.length !== from) throw kvMiss('the slot holds other tokens than were meant');
  if (kv.roomOf(state) < from + count) throw kvMiss('the slot has no room');
}

/** Those of whom that is so; the others have their answer. */
function currentOf(kv: DeviceKv, works: readonly EncodeWork[]): EncodeWork[] {
  return works.filter((work) => isStill(work, () => requireCurrent(kv, work)));
}

/**
 * Several people's new tokens in one run; each is answered on its own. Slots stay leased until the device has let go of them.
 * @returns those who are to be tried again, alone
 */
export async function encodeBatch(
  deps: BatchDeps,
  works: readonly EncodeWork[],
  sizes: EncodeSizes,
  signal: AbortSignal,
): Promise<Played<EncodeWork>> {
  const { kv } = deps;
  const current = currentOf(kv, works);
  if (current.length === 0) return {};
  const states = current.flatMap(({ ask: { state } }) => state ?? []);
  for (const state of states) kv.lease(state);
  try {
    return await encodeLeased(deps, current, sizes, signal);
  } finally {
    for (const state of states) kv.release(state);
  }
}

async function encodeLeased(
  { model, kv, runs }: BatchDeps,
  works: readonly EncodeWork[],
  sizes: EncodeSizes,
  signal: AbortSignal,
): Promise<Played<EncodeWork>> {
  const held = Math.max(...works.map(({ ask }) => ask.from));
  const use = await runs.use(sizes, sumOfWork(works), held);
  try {
    const parts = await beginAll(kv, works);
    if (parts.length === 0) return {};
    const written = parts.map(({ work }) => work);
    const chosen = use.sizes as EncodeSizes;
    const entries = parts.map(({ entry }) => entry);
    let hasBegun = false;
    let done: Awaited<ReturnType<typeof use.run.run<Float32Array[]>>>;
    try {
      done = await use.run.run(
        (inputs) => {
          fillEncode(inputs, chosen, model, entries);
          hasBegun = true;
        },
        (outputs) => parts.map((_, i) => hiddenOf(outputs, model.width, i)),
        { signal },
      );
    } catch (error) {
      await Promise.all(parts.map(({ write }) => (hasBegun ? write.failed() : write.dropped())));
      return { failed: { works: written, error } };
    }
    for (const { write } of parts) write.done();
    const timing = { ...done.timing, shared: parts.length };
    await Promise.all(
      parts.map((part, i) => answering(part.work, () => answer(kv, part.work, done.value[i]!, timing))),
    );
    return { ran: { sizes: chosen, work: sumOfWork(written), ms: timing.runMicros / 1000 } };
  } finally {
    use.done();
  }
}

/** Writes of all of them, once nobody else is at work on their pages: begun in the turn in which that was seen. */
async function beginAll(kv: DeviceKv, works: readonly EncodeWork[]): Promise<Part[]> {
  for (;;) {
    const current = currentOf(kv, works);
    const blocked = current.flatMap(({ ask: { state, from }, count }) =>
      state === undefined || kv.isWritable(state, from, from + count) ? [] : kv.writable(state, from, from + count),
    );
    if (blocked.length === 0) return current.map((work) => partOf(kv, work));
    await Promise.allSettled(blocked);
  }
}

function partOf(kv: DeviceKv, work: EncodeWork): Part {
  const { state, from, rows } = work.ask;
  const to = from + work.count;
  const write = state === undefined ? kv.writeNowhere() : kv.beginWrite(state, from, to);
  const pages = state === undefined ? [] : kv.pagesFor(state, to);
  return { work, write, entry: { rows, from, pages, behind: write.behind, rowOf: write.rowOf } };
}

async function answer(
  kv: DeviceKv,
  work: EncodeWork,
  hidden: Float32Array,
  timing: { queueMicros: number; runMicros: number; shared: number },
): Promise<void> {
  const { state, from, tokens, sequence, hash } = work.ask;
  // The hidden state may lack numbers for what was asked with alone: only KV without them must go.
  const isGood =
    state === undefined ||
    areFinite(hidden) ||
    (await kv.areNumbers(state, from, from + tokens, () => requireCurrent(kv, work)));
  if (!isGood) {
    const problem = `K and V of ${tokens} tokens behind ${from} are not finite`;
    if (tokens < work.count) {
      work.spoilt = hidden;
      work.fail(trunkDefect(`${problem} beside rows of the request`));
    } else {
      await kv.scrub(state);
      work.fail(trunkDefect(`${problem}; the KV is retired`));
    }
    return;
  }
  // Whoever has left was told that it failed: then nothing may have changed.
  const isKept = state !== undefined && work.isWanted && tokens > 0;
  if (isKept && !isStill(work, () => kv.publish(state, { length: from + tokens, sequence, hash }))) return;
  const queueMicros = waitedMicros(work, timing.runMicros);
  work.succeed({ hidden, reference: kv.reference(state), timing: { ...timing, queueMicros } });
}
