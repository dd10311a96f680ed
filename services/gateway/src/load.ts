import { type Admission, pageAdmissionOptions, RetryBudget } from '@onepass/admission';
import {
  bounded,
  EventService,
  type Implementation,
  measuredAdmission,
  RecommendationService,
} from '@onepass/contracts';
import type { Measurements } from '@onepass/telemetry';

/** Actions are never behind pages: they have a bound of their own, far above what the store lets through in a page's time. */
const EVENT_CALLS = 512;
const CATALOG_CALLS = 64;

export function pageAdmission(budgetMs: number, measurements: Measurements): Admission {
  return measuredAdmission('pages', pageAdmissionOptions(budgetMs), measurements);
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
