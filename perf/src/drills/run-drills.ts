import { OnepassError, startupError } from '@onepass/errors';
import { readCommandLine, runCommand } from '@onepass/local';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import type { Drill } from './drill.js';
import { describeGoal, GOALS, isMet } from './goals.js';
import { DRILLS } from './index.js';

const help = (drills: readonly Drill[]) => `npm run drills -- [name ...] [options]

Breaks, loads and floods meshes of its own on purpose and says what became of the promises. All drills, or those named:

${drills.map(({ name, says }) => `  ${name.padEnd(15)} ${says}`).join('\n')}

  --smoke         seconds each: shows that they work, measures nothing
  --help          this text

Numbers go to perf/report/summary.json, except with --smoke. Exit code 1: a drill could not be run, or a promise was not kept.`;

/** @returns the exit code */
export function runDrills(
  args: readonly string[],
  { drills, folder }: { drills: readonly Drill[]; folder: string } = { drills: DRILLS, folder: REPORT_FOLDER },
): Promise<number> {
  return runCommand(async () => {
    const { names, smoke, wantsHelp } = parse(args, drills);
    if (wantsHelp) {
      console.log(help(drills));
      return 0;
    }
    let kept = true;
    for (const drill of drills.filter(({ name }) => names.length === 0 || names.includes(name))) {
      kept = (await runDrill(drill, smoke, folder)) && kept;
    }
    return kept ? 0 : 1;
  });
}

/** One drill's failure does not keep the others from being tried. */
async function runDrill(drill: Drill, smoke: boolean, folder: string): Promise<boolean> {
  const started = Date.now();
  console.log(`\n${drill.name}: ${drill.says}`);
  try {
    const numbers = await drill.run({ smoke, progress: (line) => console.log(`  ${line}`) });
    const kept = Object.entries(numbers).map(([name, value]) => tell(name, value));
    if (!smoke) await mergeIntoSummary(folder, numbers);
    console.log(
      `  took ${((Date.now() - started) / 1000).toFixed(0)} s${smoke ? '; a smoke run measures nothing' : ''}`,
    );
    return smoke || kept.every(Boolean);
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    console.error(`  could not be run: ${error.message}`);
    if (error.kind === 'internal') console.error(error.cause);
    return false;
  }
}

/** @returns whether the number's goal, if it has one, is met */
function tell(name: string, value: number): boolean {
  const goal = GOALS[name];
  const met = goal === undefined || isMet(goal, value);
  const verdict = goal === undefined ? '' : `   goal ${describeGoal(goal)}${met ? '' : ': NOT MET'}`;
  console.log(`  ${name.padEnd(34)} ${Number(value.toPrecision(4))}${verdict}`);
  return met;
}

function parse(args: readonly string[], drills: readonly Drill[]) {
  const { values, positionals } = readCommandLine({
    args: [...args],
    allowPositionals: true,
    options: { smoke: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  });
  const known = drills.map(({ name }) => name);
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown !== undefined) throw startupError(`there is no drill "${unknown}"; there are: ${known.join(', ')}`);
  return { names: positionals, smoke: values.smoke, wantsHelp: values.help };
}
