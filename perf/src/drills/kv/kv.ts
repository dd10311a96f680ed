import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import { loadRelease } from '@onepass/release';
import { heldShare, optimalShare } from '../../plan/hit-rate.js';
import { sampleVisits } from '../../plan/visits.js';
import type { Drill, DrillTerms } from '../drill.js';
import { DEFAULT_RELEASE } from '../warm-mesh.js';
import { runChaos } from './chaos.js';
import { heldTokens, historyLengths, traceLengths } from './history-lengths.js';
import { memoryGrowth } from './memory-growth.js';
import { peopleHeldRatio } from './people-held.js';
import { BUILT_PROGRAMS } from './processes.js';

const SMOKE_RELEASE = join(repositoryRoot, 'libs/testing/fixtures/release-smoke');
/** Whose pages the hit rate is of, and the slots that they share: docs/decisions/017-who-gives-way.md has other sizes. */
const POPULATION = { people: 1_000_000, qps: 50, seed: 1 };
const SLOTS = 20_000;
const HELD_PEOPLE = 2_000;

export const kv: Drill = {
  name: 'kv',
  says: 'kills and stops a KV pool’s writer and readers while slots change hands, fills it ten times over, and compares its hit rate with the optimum',
  run: async (terms) => ({
    ...(await neverWrong(terms)),
    ...(await memoryHeld(terms)),
    ...hitRate(terms),
  }),
};

async function neverWrong({ smoke, progress }: DrillTerms): Promise<Record<string, number>> {
  const size = smoke ? { seconds: 4, readers: 2 } : { seconds: 100, readers: 3 };
  const seen = await runChaos({ ...size, programs: BUILT_PROGRAMS, progress });
  progress(`${seen.evictions} evictions, ${seen.refusals} refusals`);
  if (seen.torn === 0 || seen.killsInAppend === 0) {
    throw startupError(
      `it proves nothing: ${seen.torn} reads were torn, ${seen.killsInAppend} writers killed in mid-append`,
    );
  }
  return {
    kv_wrong_scores: seen.wrong,
    kv_operations: seen.operations,
    kv_scores_verified: seen.verified,
    kv_misses: seen.misses,
    kv_torn_but_caught: seen.torn,
    kv_kills: seen.kills,
    kv_kills_in_append: seen.killsInAppend,
    kv_stops: seen.stops,
    kv_deaths: seen.deaths,
    kv_torn_memory_to_cap: seen.capShare,
  };
}

async function memoryHeld({ smoke, progress }: DrillTerms): Promise<Record<string, number>> {
  const size = smoke
    ? { releaseDir: SMOKE_RELEASE, mib: 1, passes: 2 }
    : { releaseDir: DEFAULT_RELEASE, mib: 16, passes: 40 };
  const growth = await memoryGrowth({ ...size, progress });
  const release = await loadRelease(DEFAULT_RELEASE);
  const { window } = release.manifest.model;
  const held = (lengths: readonly number[]) =>
    peopleHeldRatio(
      release,
      lengths.map((actions) => heldTokens(actions, window)),
    );
  return {
    kv_memory_growth: growth.pool,
    kv_encoder_memory_growth: growth.resident,
    kv_memory_to_cap: growth.capShare,
    kv_people_held_ratio: held(historyLengths(HELD_PEOPLE, 3)),
    kv_people_held_ratio_trace: held(traceLengths(HELD_PEOPLE, 3)),
  };
}

function hitRate({ smoke, progress }: DrillTerms): Record<string, number> {
  const visits = sampleVisits(POPULATION, smoke ? 20_000 : 200_000);
  const slots = Math.round(SLOTS / visits.scale);
  const own = heldShare(visits, slots);
  const optimal = optimalShare(visits, slots);
  progress(
    `${slots} slots for one in ${visits.scale.toFixed(0)} of ${POPULATION.people} people, ${POPULATION.qps} pages a second`,
  );
  return { kv_hit_rate: own, kv_hit_rate_optimal: optimal, kv_hit_rate_gap: optimal - own };
}
