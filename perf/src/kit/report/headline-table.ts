import { table } from '../../table.js';
import type { ReportFindings } from './findings.js';
import { describeShape } from './findings.js';
import { describeGoal, FIGURES, goalOf } from './goals.js';
import { datesOf, roundsTold } from './html.js';
import { figuresOf, type KitFigure, shapesOf } from './numbers.js';

/** The figures of a run for its end in a terminal, as Markdown. */
export function formatHeadlines(findings: ReportFindings, figures: readonly KitFigure[] = figuresOf(findings)): string {
  const { machine, measurements, release, partial } = findings;
  const rounds = Math.max(1, ...figures.map((f) => f.rounds));
  const shapes = shapesOf(findings).map(describeShape).join(' | ');
  const rows = figures.map((f) => {
    const goal = goalOf(f.base, f.shape);
    const asked = goal === undefined ? '' : `${describeGoal(goal)}${f.met ? '' : ', MISSED'}`;
    return [
      f.name,
      `${three(f.value)}${FIGURES[f.base]!.unit}`,
      f.band ? `${three(f.band[0])} to ${three(f.band[1])}` : '',
      asked,
    ];
  });
  return [
    `${datesOf(measurements.map(({ date }) => date))}. ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}. Release ${release.id} (${release.name}).`,
    `Shapes: ${shapes || 'none'}. ${roundsTold(rounds)}.`,
    ...(partial ? ['**This run was cut short: not everything was measured.**'] : []),
    '',
    ...(rows.length === 0 ? ['No figure could be computed yet.'] : table(['figure', 'value', 'between', 'goal'], rows)),
    '',
  ].join('\n');
}

const three = (value: number) => String(Number(value.toPrecision(3)));
