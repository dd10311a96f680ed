// `npm run report`: what each part of the model is worth, from the same runs every time.
import { join } from 'node:path';
import { root } from './lib/paths.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { ensurePython, python } from './lib/python.mjs';
import { main, runVisibly, Stop } from './lib/steps.mjs';

requirePlatform();

const HELP = `npm run report [-- options]

Trains and evaluates the model without each of its parts, baselines and other sizes, three seeds each, adds a line a run to
training/results/grid.jsonl, and writes docs/model-report.md. Can be stopped at any time: it goes on where it was.

  --smoke         two tiny runs, in under a minute; page and results go to .onepass/report-smoke
  --only NAMES    these variants, by name with commas between
  --seeds LIST    seeds, with commas between (default 1,2,3)
  --jobs N        runs at once, one thread each (default 2)
  --page-only     run nothing, write the page from the results as they are
  --list          say what would be run, in order, and stop
  --help          this text`;

/** @param {string[]} args */
async function report(args) {
  if (args.includes('--help')) return console.log(HELP);
  const problem = await ensurePython();
  if (problem !== undefined) throw new Stop(`The report needs Python: ${problem}.`);
  const code = await runVisibly(python, ['-m', 'onepass_training', 'report', ...args], {
    env: { PYTHONPATH: join(root, 'training', 'src') },
  });
  if (code !== 0) throw new Stop(`The report failed with exit code ${code}; its own message is above.`);
}

await main(() => report(process.argv.slice(2)));
