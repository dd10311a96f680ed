import { answering, type BatchDeps, isStill, type Played, sumOfWork, waitedMicros } from './batch-run.js';
import type { RankSizes } from './buckets.js';
import type { DeviceKv } from './device-kv.js';
import { fillRank, hasFiniteRow, probabilitiesOf, type RankEntry } from './run-inputs.js';
import type { RankWork } from './trunk-ask.js';
import { trunkDefect } from './trunk-defect.js';

/**
 * Several people's slates in one run; each is answered on its own. Nothing is leased: KV that changes under the run is a miss of those whose it is.
 * @param entries by person, all slates of one on the same past
 */
export async function rankBatch(
  { model, kv, runs }: BatchDeps,
  entries: readonly (readonly RankWork[])[],
  sizes: RankSizes,
  signal: AbortSignal,
): Promise<Played<RankWork>> {
  const use = await runs.use(sizes, sumOfWork(entries.flat()));
  try {
    const chosen = use.sizes as RankSizes;
    const parts = entries.flatMap((works) => partsOf(kv, works));
    const works = parts.flatMap((part) => part.works);
    if (works.length === 0) return {};
    const people = parts.map(({ entry }) => entry);
    let done: Awaited<ReturnType<typeof use.run.run<Float32Array[][]>>>;
    try {
      done = await use.run.run(
        (inputs) => fillRank(inputs, chosen, people),
        (outputs) =>
          parts.map((part, entry) =>
            part.works.map(({ ask }, slate) =>
              probabilitiesOf(outputs, chosen, model.actions, { entry, slate, candidates: ask.candidateCount }),
            ),
          ),
        { signal },
      );
    } catch (error) {
      return { failed: { works, error } };
    }
    // All before anything is awaited: what is verified here is what was read.
    for (const { entry, works } of parts)
      for (const work of works) if (entry.length > 0) isStill(work, () => kv.verify(work.ask.kv));
    const { runMicros } = done.timing;
    const timing = { runMicros, shared: works.length };
    const answers = parts.flatMap((part, i) =>
      part.works.map((work, j) =>
        answering(work, () => answer(kv, work, { probabilities: done.value[i]![j]!, actions: model.actions }, timing)),
      ),
    );
    await Promise.all(answers);
    return { ran: { sizes: chosen, work: sumOfWork(works), ms: runMicros / 1000 } };
  } finally {
    use.done();
  }
}

interface Part {
  readonly works: readonly RankWork[];
  readonly entry: RankEntry;
}

/** One entry, or none when the past is not there any more. */
function partsOf(kv: DeviceKv, works: readonly RankWork[]): Part[] {
  let pages: readonly number[] = [];
  const there = works.filter((work) =>
    isStill(work, () => {
      if (work.ask.kv.length > 0) pages = kv.read(work.ask.kv);
    }),
  );
  if (there.length === 0) return [];
  const { length } = there[0]!.ask.kv;
  return [{ works: there, entry: { length, pages, slates: there.map(({ ask }) => ask) } }];
}

async function answer(
  kv: DeviceKv,
  work: RankWork,
  { probabilities, actions }: { readonly probabilities: Float32Array; readonly actions: number },
  timing: { readonly runMicros: number; readonly shared: number },
): Promise<void> {
  const { kv: reference } = work.ask;
  // Each candidate is on its own: numbers of one say that the past has them too. Without any, it may be for what was asked with alone.
  const isGood =
    hasFiniteRow(probabilities, actions) ||
    (await kv.areNumbers(reference, 0, reference.length, () => kv.verify(reference)));
  if (!isGood) {
    await kv.scrub({ ...reference, personKey: Buffer.from(reference.personKey).toString('hex') });
    work.fail(trunkDefect(`K and V of a past of ${reference.length} tokens are not finite; the KV is retired`));
    return;
  }
  const queueMicros = waitedMicros(work, timing.runMicros);
  work.succeed({ probabilities, timing: { ...timing, queueMicros } });
}
