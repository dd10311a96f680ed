// `npm run check`: everything about the code that can be known without running it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generatedDocs } from './lib/generated-docs.mjs';
import { importProblems, readWorkspace } from './lib/imports.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { ensurePython, hasPython, python } from './lib/python.mjs';
import { countLine } from './lib/results.mjs';
import { elapsed, green, main, red, runQuietly, Stop } from './lib/steps.mjs';

requirePlatform();

const HELP = `npm run check

Format, lint, types, import direction, proto lint and compatibility, generated code and docs up to date, and the lint of Python where training's
environment is (with CI=true it is set up). One line each; the last line counts: "N passed, N failed".`;

/** @typedef {() => Promise<string | undefined>} Check answers what is wrong, undefined when nothing is */

/** @type {[name: string, check: Check][]} */
const CHECKS = [
  ['format and lint', command('node_modules/.bin/biome', ['check', '--error-on-warnings', '.'])],
  ['types', command('node_modules/.bin/tsc', ['-b'])],
  ['types of tests', command('node_modules/.bin/tsc', ['-p', 'tsconfig.test.json'])],
  ['types of scripts', command('node_modules/.bin/tsc', ['-p', 'scripts'])],
  ['import direction', importDirection],
  ['proto lint', command('node_modules/.bin/buf', ['lint', 'proto'])],
  ['proto compatible', command('node_modules/.bin/buf', ['breaking', 'proto', '--against', 'proto/baseline.binpb'])],
  ['generated code', generatedCode],
  ['generated docs', generatedDocuments],
  ['python lint', () => pythonCheck(['-m', 'ruff', 'check', 'training', 'perf/monolith'])],
];

/**
 * @param {string} file inside the repository
 * @param {readonly string[]} args
 * @returns {Check}
 */
function command(file, args) {
  return async () => {
    const { code, output } = await runQuietly(join(root, file), args);
    return code === 0 ? undefined : output;
  };
}

async function importDirection() {
  const problems = importProblems(await readWorkspace(root));
  return problems.length === 0 ? undefined : problems.join('\n');
}

async function generatedCode() {
  const directory = await mkdtemp(join(tmpdir(), 'onepass-generated-'));
  try {
    // The template writes to ../libs/contracts/src/gen, seen from -o.
    const generate = await runQuietly(
      join(root, 'node_modules', '.bin', 'buf'),
      ['generate', '-o', join(directory, 'proto')],
      {
        cwd: join(root, 'proto'),
        env: { PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` },
      },
    );
    if (generate.code !== 0) return generate.output;
    const generated = 'libs/contracts/src/gen';
    const { code, output } = await runQuietly('diff', ['-r', generated, join(directory, generated)]);
    return code === 0 ? undefined : `${generated} is not what proto/ generates: npm run generate\n${output}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function generatedDocuments() {
  const stale = (await generatedDocs()).filter(({ now, wanted }) => now !== wanted);
  return stale.length === 0 ? undefined : stale.map(({ file }) => `${file} is stale: npm run generate`).join('\n');
}

/** @param {readonly string[]} args */
async function pythonCheck(args) {
  const { code, output } = await runQuietly(python, args);
  return code === 0 ? undefined : output;
}

/** Python's checks need training's environment; only CI insists on it. */
async function applicableChecks() {
  if (process.env.CI === 'true') {
    const problem = await ensurePython();
    if (problem !== undefined) throw new Stop(`Python cannot be checked: ${problem}.`);
    return CHECKS;
  }
  if (await hasPython()) return CHECKS;
  console.log('  not run: python lint (no training/.venv; npm test makes it)');
  return CHECKS.filter(([name]) => !name.startsWith('python'));
}

async function run() {
  const args = process.argv.slice(2);
  if (args.includes('--help')) return console.log(HELP);
  if (args.length > 0) throw new Stop(`npm run check takes nothing but --help, not "${args[0]}"`);
  await ensureInstalled();
  let failed = 0;
  const checks = await applicableChecks();
  for (const [name, check] of checks) {
    const since = Date.now();
    const problem = await check();
    if (problem !== undefined) failed += 1;
    console.log(`  ${problem === undefined ? green('pass') : red('FAIL')}  ${name.padEnd(18)} ${elapsed(since)}`);
    if (problem !== undefined) console.log(problem.trimEnd().replace(/^/gm, '        '));
  }
  console.log(countLine({ passed: checks.length - failed, failed }));
  if (failed > 0) process.exit(1);
}

await main(run);
