// `npm test`: sets up what the tests need and runs all of them.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { ensurePython, pythonOf } from './lib/python.mjs';
import { countLine, NOTHING, pytestResults, sum, vitestResults } from './lib/results.mjs';
import { bold, elapsed, main, runVisibly, Stop } from './lib/steps.mjs';

requirePlatform();

const HELP = `npm test [-- options] [filter ...]

Sets up what the tests need (npm packages, the build, Python environments in training/.venv and
perf/monolith/.venv) and runs all of them.
The last line counts them: "N passed, N failed". What could not run is listed by name; with CI=true it is a failure.

  --only ts|python   one of the two suites
  --help             this text
  filter             passed on: parts of file names to vitest, an expression (-k) to pytest`;

/** @typedef {import('./lib/results.mjs').Results} Results */

/**
 * @param {readonly string[]} filters
 * @param {string} reports directory for the report file
 * @returns {Promise<Results>}
 */
async function runVitest(filters, reports) {
  await ensureBuilt();
  const file = join(reports, 'vitest.json');
  const code = await runVisibly(join(root, 'node_modules', '.bin', 'vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...filters,
  ]);
  return failedWhenBroken(vitestResults(await report(file, 'vitest')), code, 'vitest');
}

/** Folders with Python tests and an environment of their own. */
const PYTHON_FOLDERS = ['training', 'perf/monolith'];

/**
 * @param {string} folder one of PYTHON_FOLDERS
 * @param {readonly string[]} filters
 * @param {{ reports: string, problem: string | undefined }} how directory for the report file; why Python is not to be had
 * @returns {Promise<Results>}
 */
async function runPytest(folder, filters, { reports, problem }) {
  if (problem !== undefined) return { ...NOTHING, notRun: [`the tests of ${folder}/: ${problem}`] };
  const file = join(reports, `pytest-${PYTHON_FOLDERS.indexOf(folder)}.xml`);
  const expression = filters.length > 0 ? ['-k', filters.join(' or ')] : [];
  const code = await runVisibly(pythonOf(folder), ['-m', 'pytest', `--junitxml=${file}`, ...expression], {
    cwd: join(root, folder),
  });
  // 5: the filter left no test, which is no failure of the suite.
  return failedWhenBroken(pytestResults(await report(file, 'pytest')), code === 5 ? 0 : code, `pytest of ${folder}`);
}

/**
 * A run that ends badly without a failed test to show for it is a failure all the same.
 * @param {Results} results
 * @param {number} code
 * @param {string} name
 * @returns {Results}
 */
function failedWhenBroken(results, code, name) {
  if (code === 0 || results.failed > 0) return results;
  console.error(`${name} ended with exit code ${code}.`);
  return { ...results, failed: 1 };
}

/**
 * @param {string} file
 * @param {string} name
 */
async function report(file, name) {
  return readFile(file, 'utf8').catch(() => {
    throw new Stop(`${name} did not get as far as writing its report; its own message is above.`);
  });
}

/** @param {string[]} args */
async function run(args) {
  const { values, positionals } = parse(args);
  if (values.help) return console.log(HELP);
  const since = Date.now();
  await ensureInstalled();
  const reports = await mkdtemp(join(tmpdir(), 'onepass-test-'));
  /** @type {Results[]} */
  const results = [];
  try {
    // Before vitest: some of its tests train, or start what is in Python.
    const folders = values.only === 'ts' ? [] : PYTHON_FOLDERS;
    const problems = new Map();
    for (const folder of folders) problems.set(folder, await ensurePython(folder));
    if (values.only !== 'python') results.push(await runVitest(positionals, reports));
    for (const folder of folders) {
      results.push(await runPytest(folder, positionals, { reports, problem: problems.get(folder) }));
    }
  } finally {
    await rm(reports, { recursive: true, force: true });
  }
  conclude(sum(results), since);
}

/** @param {string[]} args */
function parse(args) {
  try {
    const parsed = parseArgs({
      args,
      allowPositionals: true,
      options: { only: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (![undefined, 'ts', 'python'].includes(parsed.values.only)) throw new Error('--only takes ts or python.');
    return parsed;
  } catch (error) {
    throw new Stop(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/**
 * @param {Results} results
 * @param {number} since
 */
function conclude(results, since) {
  const mustRunAll = process.env.CI === 'true';
  console.log(`\n${bold('All tests')} in ${elapsed(since)}`);
  if (results.notRun.length > 0) {
    console.log(mustRunAll ? 'Not run, which counts as failed in CI:' : 'Not run:');
    for (const name of results.notRun) console.log(`  ${name}`);
  }
  const failed = results.failed + (mustRunAll ? results.notRun.length : 0);
  console.log(countLine({ passed: results.passed, failed }));
  if (failed > 0 || results.passed === 0) process.exit(1);
}

await main(() => run(process.argv.slice(2)));
