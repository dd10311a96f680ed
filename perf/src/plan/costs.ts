import { startupError } from '@onepass/errors';
import type { Items, Release } from '@onepass/release';
import type { PureCompute, Shape } from '../kit/measurements.js';
import { ShapeCompute } from '../kit/shape/pure-compute.js';
import { type FigureTable, REPORT_FOLDER, readSummary } from '../summary.js';
import type { PageCosts } from './cells.js';
import type { PageTimes, ServiceTimes } from './sim/service-times.js';

/** Query embeddings of a page. */
const QUERIES = 2;

/** The release's graphs and search, timed here and now, and what the bench saw a page cost beyond them. */
export async function measureCosts(release: Release, items: Items, shape: Shape, seconds: number): Promise<PageCosts> {
  const compute = await ShapeCompute.open(release, items, shape, { queries: QUERIES, threads: 1 });
  try {
    return costsOf(await compute.measure(1, { calls: 200, seconds }), await readSummary(REPORT_FOLDER));
  } finally {
    await compute.close();
  }
}

/** @throws OnepassError `startup` where the bench has not measured the overhead */
export function costsOf(pure: PureCompute, summary: FigureTable): PageCosts {
  const overhead = (summary.overhead_cpu_ms_default ?? summary.overhead_cpu_ms)?.value;
  if (overhead === undefined) {
    throw startupError('perf/report/summary.json holds no overhead_cpu_ms: run npm run bench first');
  }
  const { encodeAll, append, rankOnKv, retrieveHead, search } = pure;
  return { encodeAll, append, rest: rankOnKv + retrieveHead + search + overhead };
}

/** CPU of a page on the busier of the two event loops that a cell has only one of, in ms. */
export function loopMsOf({ pages }: Pick<ServiceTimes, 'pages'>): number {
  const mean = (of: (page: PageTimes) => number) => pages.reduce((sum, page) => sum + of(page), 0) / pages.length;
  return Math.max(
    mean(({ encoder }) => encoder),
    mean(({ ranking }) => ranking),
  );
}
