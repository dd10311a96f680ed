import { table } from '../table.js';
import { describeGoal, deviceMs, GPU_FIGURES, type GpuFigureName, isHome, metOf, wallMs } from './figures.js';
import type { GpuFindings } from './findings.js';
import type { MeasuredCase } from './gpu-case.js';
import { describeCase } from './gpu-case.js';
import { describeWhere } from './gpu-machine.js';
import type { BenchShape } from './options.js';

/** What was found, as text. */
export function tellFindings(findings: GpuFindings): string[] {
  const { machine, shape, measured, compared, figures, memory, notes, date } = findings;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 1);
  const onGpu = machine.device !== 'cpu';
  return [
    `${describeShape(shape)}; ${date}, ${describeWhere(machine)}.`,
    ...(findings.done ? [] : ['Not all of it: it ended before its time.']),
    `Device: ${machine.reason}. KV of one person: ${mib(memory.personBytes)} MiB${onGpu ? `; taken in all: ${mib(memory.takenBytes)} of ${mib(2 ** 30 * machine.totalGiB)} MiB` : ''}.`,
    '',
    ...table(
      ['ms a run, median over rounds', 'on the device', 'as seen', 'a person', 'rounds'],
      sorted(measured).map(caseRow),
    ),
    '',
    ...table(
      ['figure', 'value', '95%', 'goal'],
      Object.entries(figures).map(([name, figure]) => figureRow(name as GpuFigureName, figure, isHome(shape))),
    ),
    ...(compared.length === 0
      ? []
      : [
          '',
          ...table(
            ['probabilities beside float32 on the CPU', 'largest off', 'mean off', 'Kendall'],
            compared.map(({ case: of, agreement }) => [
              describeCase(of),
              agreement.worst.toExponential(1),
              agreement.mean.toExponential(1),
              agreement.kendall.toFixed(5),
            ]),
          ),
        ]),
    ...(notes.length === 0 ? [] : ['', 'Left out:', ...notes.map((note) => `- ${note}`)]),
  ];
}

export function describeShape({ layers, width, heads, n, k, batch, dtype }: BenchShape): string {
  return `L=${layers} d=${width} (${heads} heads) n=${n} k=${k} B=${batch} ${dtype}`;
}

/** Passes in the order of a page, the whole batch first. */
export function sorted(measured: readonly MeasuredCase[]): MeasuredCase[] {
  const passes = ['encode', 'prefill', 'append', 'rank', 'rank_host_kv', 'kv_copy', 'recompute', 'gather'];
  const place = ({ case: of }: MeasuredCase) => [
    passes.indexOf(of.timed),
    of.rows,
    -of.batch,
    of.system === 'pytorch' ? 1 : 0,
  ];
  return [...measured].sort((a, b) => {
    const [left, right] = [place(a), place(b)];
    const first = left.findIndex((value, i) => value !== right[i]);
    return first === -1 ? deviceMs(a) - deviceMs(b) : left[first]! - right[first]!;
  });
}

const ms = (value: number) => (value < 1 ? value.toFixed(3) : value.toFixed(2));

const caseRow = (one: MeasuredCase) => [
  describeCase(one.case),
  ms(deviceMs(one)),
  ms(wallMs(one)),
  ms(deviceMs(one) / one.case.batch),
  String(one.rounds.length),
];

function figureRow(
  name: GpuFigureName,
  { value, band }: { readonly value: number; readonly band?: readonly [number, number] | undefined },
  home: boolean,
): string[] {
  const { says } = GPU_FIGURES[name];
  const number = (of: number) => of.toPrecision(3);
  const asked = describeGoal(name);
  // Goals are of one shape; elsewhere they are only told.
  const judged = home && asked ? `${asked}, ${metOf(name, value) ? 'met' : 'missed'}` : (asked ?? '');
  return [`gpu_${name}: ${says}`, number(value), band ? `${number(band[0])} to ${number(band[1])}` : '', judged];
}
