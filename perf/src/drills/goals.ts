import type { Goal } from './drill.js';

/** The promises, by the name of their number in perf/report/summary.json. Numbers without one are context. */
export const GOALS: Readonly<Record<string, Goal>> = {
  overload_goodput_ratio: { atLeast: 0.9 },
  overload_admitted_p99_ratio: { atMost: 2 },
  refused_within_ms: { atMost: 5 },
  acknowledged_actions_lost: { atMost: 0 },
  wrong_scores: { atMost: 0 },
  kv_wrong_scores: { atMost: 0 },
  kv_operations: { atLeast: 1_000_000 },
  kv_torn_but_caught: { atLeast: 1 },
  kv_deaths: { atMost: 0 },
  kv_memory_growth: { atMost: 0.02 },
  kv_encoder_memory_growth: { atMost: 0.02 },
  kv_memory_to_cap: { atMost: 1 },
  kv_hit_rate_gap: { atMost: 0.03 },
  warm_restore_ratio: { atMost: 0.5 },
  warm_after_kill_share: { atLeast: 1 },
  cancelled_work_share: { atMost: 0.02 },
  trace_complete_share: { atLeast: 1 },
  tracing_cost: { atMost: 0.03 },
  cert_rotation_errors: { atMost: 0 },
  cert_rotation_stale: { atMost: 0 },
  recovery_seconds: { atMost: 3 },
  // A third of three cells' people, and .05 for chance.
  moved_people_share_join: { atMost: 0.383 },
  moved_people_share_loss: { atMost: 0.383 },
  failed_calls: { atMost: 0 },
  recomputed_unmoved: { atMost: 0 },
  fuzz_crashes: { atMost: 0 },
  fuzz_hangs: { atMost: 0 },
  fuzz_internal: { atMost: 0 },
  fuzz_nan_answers: { atMost: 0 },
};

export function isMet({ atLeast = -Infinity, atMost = Infinity }: Goal, value: number): boolean {
  return value >= atLeast && value <= atMost;
}

export function describeGoal({ atLeast, atMost }: Goal): string {
  return [atLeast === undefined ? [] : [`>= ${atLeast}`], atMost === undefined ? [] : [`<= ${atMost}`]]
    .flat()
    .join(', ');
}
