import { both, figure } from '../kit/report/html.js';
import { linePlot } from '../kit/report/plot/line-plot.js';
import { table } from '../table.js';
import type { BenchShape } from './options.js';
import { htmlPage } from './page.js';
import { growthOf, type SoakFindings } from './soak.js';
import { describeAttention } from './soak-attention.js';
import { describeShape } from './tell.js';

export interface SoakWhere {
  readonly date: string;
  readonly where: string;
  readonly shape: BenchShape;
}

/** What the soak found, as text. */
export function tellSoak(found: SoakFindings, { date, where, shape }: SoakWhere): string[] {
  const { runs, people, asked, seconds, shared, prepared, padding, missed, wrong, samples, attention } = found;
  const mib = (bytes = Number.NaN) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const [first, last] = [samples[0], samples.at(-1)];
  return [
    `${describeShape(shape)}, attention: ${describeAttention(attention)}; ${date}, ${where}.`,
    '',
    ...table(
      ['soak', ''],
      [
        ['runs', String(runs)],
        ['people', String(people)],
        ['asks of single people', `${asked}, at most ${shared} in one run`],
        ['seconds', seconds.toFixed(0)],
        ['sizes of runs that were prepared', String(prepared)],
        ['padding, share of the work', padding.toFixed(3)],
        ['asks that missed: their KV gave way, or there was no room', String(missed)],
        ['numbers that are no probability', String(wrong)],
        ['memory of the process, at first and at last', `${mib(first?.resident)}, ${mib(last?.resident)}`],
        ['memory of the device', last?.device === 0 ? 'is the process' : `${mib(first?.device)}, ${mib(last?.device)}`],
        ['growth since a fifth of the runs (gpu_soak_growth)', growthOf(samples).toFixed(4)],
        ['growth since half of the runs', growthOf(samples, 5).toFixed(4)],
      ],
    ),
  ];
}

/** Memory over runs, as a page. */
export function soakPage({ samples, people, attention }: SoakFindings, { date, where, shape }: SoakWhere): string {
  const line = (key: string, label: string, of: 'resident' | 'device') => {
    const points = samples.map((one) => ({ x: one.runs, y: one[of] / 2 ** 20 }));
    return points.some(({ y }) => y > 0) ? [{ key, label, points }] : [];
  };
  const draw = (width: number) =>
    linePlot({
      label: 'memory in MiB over runs',
      x: { label: 'runs', zero: true },
      y: { label: 'MiB', zero: true },
      series: [...line('A', 'process', 'resident'), ...line('B', 'device', 'device')],
      width,
      height: 330,
    });
  const caption = `${people} people; ${describeShape(shape)}, attention: ${describeAttention(attention)}; ${where}; ${date}.`;
  return htmlPage('The device engine, soaked', [figure('Memory over runs', both(draw), caption)]);
}
