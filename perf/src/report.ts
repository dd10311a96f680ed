import type { LoadResult } from './ghz.js';
import type { Machine } from './machine.js';
import type { Cost, Loaded, WarmPages } from './measure.js';
import { type PureTimes, pureMs } from './pure-compute.js';
import { median } from './statistics.js';

/** All of one kind measured in one round, one after the other. */
export interface Round {
  readonly oneAtATime: LoadResult;
  readonly pure: PureTimes;
  readonly saturated: Loaded;
  /** The bare chain under the same loads. */
  readonly bareOneAtATime: LoadResult;
  readonly bareSaturated: Cost;
}

export interface Findings {
  readonly date: string;
  readonly machine: Machine;
  readonly release: { readonly id: string; readonly name: string; readonly width: number; readonly layers: number };
  readonly items: number;
  readonly people: number;
  readonly seconds: number;
  readonly warm: WarmPages;
  /** Queries a second by concurrency, one load each: where saturation was looked for. */
  readonly search: readonly { readonly concurrency: number; readonly load: LoadResult }[];
  readonly concurrency: number;
  readonly rounds: readonly Round[];
  readonly residentMiB: Readonly<Record<string, number>>;
}

/** Medians over the rounds. Times in ms; CPU and overhead in CPU-ms a request. */
export interface Summary {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly qps: number;
  readonly saturatedP50Ms: number;
  readonly saturatedP99Ms: number;
  readonly pure: PureTimes;
  readonly pureMs: number;
  readonly cpuMs: Readonly<Record<string, number>>;
  readonly meshCpuMs: number;
  /** CPU of the mesh's processes beyond pure compute. */
  readonly overheadMs: number;
  /** cores / QPS: also counts the load generator and the kernel, where they share the cores. */
  readonly coresPerQpsMs: number;
  readonly coresOverheadMs: number;
  readonly bareP50Ms: number;
  readonly bareCpuMs: number;
  /** Overhead of the mesh to all of the bare chain's CPU. */
  readonly overheadToBare: number;
  readonly lagP99Ms: Readonly<Record<string, number>>;
}

export function summarise({ rounds, machine }: Findings): Summary {
  const over = (value: (round: Round) => number) => median(rounds.map(value));
  const roles = Object.keys(rounds[0]?.saturated.cpuMs ?? {});
  const byRole = (value: (round: Round, role: string) => number) =>
    Object.fromEntries(roles.map((role) => [role, over((round) => value(round, role))]));
  const together = (cpuMs: Readonly<Record<string, number>>) => Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0);
  const meshCpu = (round: Round) => together(round.saturated.cpuMs);
  const bareCpu = (round: Round) => together(round.bareSaturated.cpuMs);
  const coresPerQps = (round: Round) => (machine.cores * 1000) / round.saturated.load.qps;
  const pure = (name: keyof PureTimes) => over((round) => round.pure[name]);
  return {
    p50Ms: over((r) => r.oneAtATime.p50Ms),
    p90Ms: over((r) => r.oneAtATime.p90Ms),
    p99Ms: over((r) => r.oneAtATime.p99Ms),
    qps: over((r) => r.saturated.load.qps),
    saturatedP50Ms: over((r) => r.saturated.load.p50Ms),
    saturatedP99Ms: over((r) => r.saturated.load.p99Ms),
    pure: {
      encode: pure('encode'),
      retrieveHead: pure('retrieveHead'),
      rank: pure('rank'),
      ann: pure('ann'),
      search: pure('search'),
    },
    pureMs: over((r) => pureMs(r.pure)),
    cpuMs: byRole((round, role) => round.saturated.cpuMs[role] ?? Number.NaN),
    meshCpuMs: over(meshCpu),
    overheadMs: over((r) => meshCpu(r) - pureMs(r.pure)),
    coresPerQpsMs: over(coresPerQps),
    coresOverheadMs: over((r) => coresPerQps(r) - pureMs(r.pure)),
    bareP50Ms: over((r) => r.bareOneAtATime.p50Ms),
    bareCpuMs: over(bareCpu),
    overheadToBare: over((r) => (meshCpu(r) - pureMs(r.pure)) / bareCpu(r)),
    lagP99Ms: byRole((round, role) => round.saturated.lagP99Ms[role] ?? Number.NaN),
  };
}

/** Calls that did not go well, by status, over all rounds. */
export function errorsOf({ rounds }: Findings): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { errors } of rounds.flatMap((r) => [r.oneAtATime, r.saturated.load, r.bareOneAtATime])) {
    for (const [status, count] of Object.entries(errors)) total[status] = (total[status] ?? 0) + count;
  }
  return total;
}

/** The report, as Markdown that also reads well in a terminal. */
export function formatReport(findings: Findings): string {
  const { machine, release, warm, rounds, seconds } = findings;
  const s = summarise(findings);
  const errors = Object.entries(errorsOf(findings)).map(([status, count]) => `${count} ${status}`);
  const roles = Object.keys(s.cpuMs);
  return [
    `${findings.date}. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}; ghz on the same machine.`,
    `Release ${release.id} (${release.name}): d=${release.width}, ${release.layers} layers, ${findings.items} items. Warm home pages of ${findings.people} people: ` +
      `${warm.past} past tokens, ${warm.candidates} candidates, ${warm.queries} query embeddings, page 20.`,
    `Medians of ${rounds.length} rounds of ${seconds} s a load, everything measured in every round. Failed or degraded calls: ${errors.join(', ') || 'none'}.`,
    '',
    ...table(
      ['Recommend', 'calls/s', 'p50 ms', 'p90 ms', 'p99 ms'],
      [
        ['one at a time', ...columns(rounds, (r) => r.oneAtATime)],
        [`saturated, c=${findings.concurrency}`, ...columns(rounds, (r) => r.saturated.load)],
        ['bare chain, one at a time', ...columns(rounds, (r) => r.bareOneAtATime)],
        [`bare chain, c=${findings.concurrency}`, ...columns(rounds, (r) => r.bareSaturated.load)],
      ],
    ),
    '',
    ...table(
      ['CPU-ms a request at saturation', ''],
      [
        ...roles.map((role) => [role, ms(s.cpuMs[role])]),
        ['the mesh, together', ms(s.meshCpuMs)],
        ['pure compute', ms(s.pureMs)],
        ['**overhead** = mesh - pure compute', `**${ms(s.overheadMs)}**`],
        ['bare chain, its four processes together', ms(s.bareCpuMs)],
        ['**overhead / bare chain**', `**${ms(s.overheadToBare)}**`],
        ['cores / QPS (ghz and kernel included)', ms(s.coresPerQpsMs)],
        ['**overhead** = cores / QPS - pure compute', `**${ms(s.coresOverheadMs)}**`],
      ],
    ),
    '',
    ...table(
      ['Pure compute, timed alone', 'ms'],
      [
        ['encode graph, one context row', ms(s.pure.encode)],
        ['retrieve head graph', ms(s.pure.retrieveHead)],
        ['rank graph', ms(s.pure.rank)],
        ['usearch calls of one search', ms(s.pure.ann)],
        ['(the same search with gathering and f16 rescoring)', ms(s.pure.search)],
      ],
    ),
    '',
    ...table(
      ['Where the time goes, one at a time', 'ms'],
      Object.entries(warm.stageMs).map(([stage, value]) => [stage, ms(value)]),
    ),
    '',
    ...table(
      ['Process', 'event loop lag p99 at saturation, ms', 'resident MiB'],
      roles.map((role) => [role, ms(s.lagP99Ms[role]), String(findings.residentMiB[role] ?? '')]),
    ),
    '',
  ].join('\n');
}

function columns(rounds: readonly Round[], load: (round: Round) => LoadResult): string[] {
  const over = (value: (load: LoadResult) => number) => median(rounds.map((round) => value(load(round))));
  return [over((l) => l.qps).toFixed(0), ms(over((l) => l.p50Ms)), ms(over((l) => l.p90Ms)), ms(over((l) => l.p99Ms))];
}

const ms = (value: number | undefined) => (value ?? Number.NaN).toFixed(2);

/** A Markdown table whose source is aligned: text left, numbers right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = titles.map((title, i) => Math.max(3, title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(titles), rule, ...rows.map(line)];
}
