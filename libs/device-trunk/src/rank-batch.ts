import { type BatchDeps, isStill, type Played, sumOfWork, waitedMicros } from './batch-run.js';
import type { RankSizes } from './buckets.js';
import type { DeviceKv } from './device-kv.js';
import { areFinite, fillRank, probabilitiesOf, type RankEntry } from './run-inputs.js';
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
    try {
      const { value, timing } = await use.run.run(
        (inputs) =>
          fillRank(
            inputs,
            chosen,
            model,
            parts.map(({ entry }) => entry),
          ),
        (outputs) =>
          parts.map((part, entry) =>
            part.works.map(({ ask }, slate) =>
              probabilitiesOf(outputs, chosen, model.actions, { entry, slate, candidates: ask.candidateCount }),
            ),
          ),
        { signal },
      );
      // All before anything is awaited: what is verified here is what was read.
      for (const { entry, works } of parts)
        for (const work of works) if (entry.length > 0) isStill(work, () => kv.verify(work.ask.kv));
      const { runMicros } = timing;
      const answers = parts.flatMap((part, i) =>
        part.works.map((work, j) => answer(kv, work, value[i]![j]!, { runMicros, shared: works.length })),
      );
      await Promise.all(answers);
      return { ran: { sizes: chosen, work: sumOfWork(works), ms: timing.runMicros / 1000 } };
    } catch (error) {
      return { failed: { works, error } };
    }
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
  probabilities: Float32Array,
  timing: { readonly runMicros: number; readonly shared: number },
): Promise<void> {
  if (areFinite(probabilities)) {
    const queueMicros = waitedMicros(work, timing.runMicros);
    work.succeed({ probabilities, timing: { ...timing, queueMicros } });
    return;
  }
  const { kv: reference, context, candidates, candidateRow, candidateCount } = work.ask;
  const problem = `probabilities of ${candidateCount} candidates on ${reference.length} tokens are not finite`;
  if (![context, candidates, candidateRow].every(areFinite)) {
    work.fail(trunkDefect(`${problem}, nor is what was asked with`));
  } else if (reference.length > 0) {
    await kv.scrub({ ...reference, personKey: Buffer.from(reference.personKey).toString('hex') });
    work.fail(trunkDefect(`${problem}; the KV is retired`));
  } else work.fail(trunkDefect(problem));
}
