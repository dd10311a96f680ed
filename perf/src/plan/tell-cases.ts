import { table } from '../table.js';
import type { CaseTold, PlanCase } from './sim/simulate-plan.js';

const TITLES: Readonly<Record<PlanCase, string>> = {
  peak: 'the peak',
  lost: 'a cell just lost',
  promotion: 'nothing held, as a promotion begins',
};

/** A table of what was simulated, one line a case. */
export function tellCases(cases: readonly (readonly [PlanCase, CaseTold])[]): string[] {
  const share = (number: number) => `${(100 * number).toFixed(number < 0.1 && number > 0 ? 1 : 0)}%`;
  const ms = (number: number) => (Number.isNaN(number) ? 'none whole' : `${number.toFixed(1)} ms`);
  const rows = cases.map(([name, told]) => [
    TITLES[name],
    ...[ms(told.p50Ms), ms(told.p99Ms), share(told.held), share(told.refused + told.late)],
    ...[share(told.coresBusy), `${share(told.busiestLoop)} ${told.busiestProcess}`],
  ]);
  return table(['simulated', 'p50', 'p99', 'held', 'refused or late', 'cores', 'busiest event loop'], rows);
}
