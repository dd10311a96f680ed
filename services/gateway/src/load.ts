import { type Admission, RetryBudget } from '@onepass/admission';
import {
  bounded,
  EventService,
  type Implementation,
  measuredAdmission,
  RecommendationService,
} from '@onepass/contracts';
import type { Measurements } from '@onepass/telemetry';

/** Shares of a page's time: what it may take on average, and what it may wait for its turn. docs/decisions/010-admission.md has the figures. */
const TARGET = 0.2;
const PATIENCE = 0.2;
/** Pages in flight; where between these is found out. Even the least lets a stage that hangs be gone around on several pages at once. */
const PAGES = { initial: 32, minimum: 4, maximum: 256 };
const PAGES_WAITING = 256;
/** Actions are never behind pages: they have a bound of their own, far above what the store lets through in a page's time. */
const EVENT_CALLS = 512;
const CATALOG_CALLS = 64;

export function pageAdmission(budgetMs: number, measurements: Measurements): Admission {
  const limit = { ...PAGES, targetMs: budgetMs * TARGET };
  return measuredAdmission(
    'pages',
    { limit, maxWaiting: PAGES_WAITING, patienceMs: budgetMs * PATIENCE },
    measurements,
  );
}

export function retryBudget(measurements: Measurements): RetryBudget {
  const budget = new RetryBudget({ share: 0.2, minimumPerSecond: 3 }, Date.now);
  measurements.observe('onepass.retries.left', () => budget.left);
  return budget;
}

/** Every service but the pages', whose admission is its own, with a bound on the calls under way. */
export function boundedCalls(measurements: Measurements): (implementation: Implementation) => Implementation {
  return (implementation) => {
    const name = implementation.service.typeName;
    if (name === RecommendationService.typeName) return implementation;
    const group = name === EventService.typeName ? 'events' : 'catalog';
    return bounded(implementation, { group, maximum: group === 'events' ? EVENT_CALLS : CATALOG_CALLS }, measurements);
  };
}
