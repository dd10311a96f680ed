import { PAGE_STYLE } from '../../kit/report/page-style.js';
import { linePlot } from '../../kit/report/plot/line-plot.js';
import { element, escapeText, text } from '../../kit/report/plot/svg.js';
import type { Compared } from './compare.js';

const WIDTH = 420;
const HEIGHT = 330;
const GAP = 30;
const TOP = 58;

type Value = (told: Compared['predicted']) => number;
const PLOTS: readonly { readonly title: string; readonly unit: string; readonly of: Value }[] = [
  { title: 'Pages on held KV', unit: '%', of: ({ held }) => 100 * held },
  { title: 'Median', unit: 'ms', of: ({ p50Ms }) => p50Ms },
  { title: '99th percentile', unit: 'ms', of: ({ p99Ms }) => p99Ms },
];

/** Predicted against measured, as a file of its own: on the diagonal they agree. */
export function validationPlot(all: readonly Compared[], caption: string): string {
  const width = PLOTS.length * WIDTH + (PLOTS.length - 1) * GAP + 40;
  const cells = [...new Set(all.map((one) => one.cells))];
  const plots = PLOTS.map(({ title, unit, of }, i) => {
    const series = cells.map((count, at) => ({
      key: at === 0 ? 'A' : 'B',
      label: count === 1 ? '1 cell' : `${count} cells`,
      points: all
        .filter((one) => one.cells === count)
        .map((one) => ({
          ...{ x: of(one.measured), y: of(one.predicted) },
          says: `${one.qps} pages a second, ${one.slots} slots for ${one.people} people`,
        })),
    }));
    const values = all.flatMap(({ measured, predicted }) => [of(measured), of(predicted)]);
    const edge = {
      key: 'edge',
      label: '',
      points: [Math.min(...values), Math.max(...values)].map((v) => ({ x: v, y: v })),
    };
    const drawn = linePlot({
      label: `${title}, predicted against measured`,
      x: { label: `measured, ${unit}` },
      y: { label: `${title}: predicted, ${unit}` },
      series: [...series, edge],
      marks: [{ kind: 'diagonal', label: 'agreement' }],
      ...{ width: WIDTH, height: HEIGHT },
    });
    const at = `translate(${20 + i * (WIDTH + GAP)} ${TOP})`;
    // Points of different loads are no curve.
    return element(
      'g',
      { transform: at, class: 'points' },
      drawn.replace('<svg ', `<svg width="${WIDTH}" height="${HEIGHT}" `),
    );
  });
  const height = TOP + HEIGHT + 16;
  const body = [
    element('style', {}, `${PAGE_STYLE}${FILE_STYLE}`),
    element('rect', { class: 'paper', x: 0, y: 0, width, height }),
    text(20, 26, 'The plan against real meshes', { class: 'head' }),
    text(20, 45, caption, { class: 'axis' }),
    ...plots,
  ];
  const size = `0 0 ${width} ${height}`;
  return `${element('svg', { xmlns: 'http://www.w3.org/2000/svg', viewBox: size, width, height, role: 'img', 'aria-label': escapeText(caption) }, body)}\n`;
}

const FILE_STYLE = `.paper{fill:var(--ground)}.head{font:600 16px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.points .line,.s-edge .marker{display:none}.points svg{width:${WIDTH}px}`;
