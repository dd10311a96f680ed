// `npm run train`: from nothing to a release directory.
import { access, cp, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { ensurePython, python } from './lib/python.mjs';
import { bold, elapsed, main, runVisibly, Stop } from './lib/steps.mjs';

requirePlatform();

const HELP = `npm run train [-- options]

Makes the synthetic world, trains the model on it, exports it and builds the release that the mesh serves. Checkpoints
lie in .onepass/training/<size>-seed<N>.

  --smoke         a tiny world and model, done in under a minute
  --seed N        seed of the world, the weights and all draws (default 1)
  --threads N     CPU threads; one seed gives the same metrics for one number of threads (default 2)
  --steps N       optimiser steps (default: enough for the release)
  --resume        go on from the last checkpoint of this size and seed
  --out DIR       where the release goes; a release that is there is replaced (default .onepass/releases/<release id>)
  --help          this text`;

/** @param {string[]} args */
function parse(args) {
  const number = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values } = parseArgs({
      args,
      options: { smoke: flag, seed: number, threads: number, steps: number, resume: flag, out: number, help: flag },
    });
    requireNumber('seed', values.seed, 0);
    requireNumber('threads', values.threads, 1);
    requireNumber('steps', values.steps, 1);
    return values;
  } catch (error) {
    throw new Stop(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/**
 * Told here, before anything is installed or an earlier run's checkpoints go.
 * @param {string} name
 * @param {string | undefined} value
 * @param {number} minimum
 */
function requireNumber(name, value, minimum) {
  if (value === undefined || (/^\d{1,9}$/.test(value) && Number(value) >= minimum)) return;
  throw new Error(`--${name} must be a whole number from ${minimum}, not "${value}"`);
}

/** @param {string[]} args */
async function run(args) {
  const options = parse(args);
  if (options.help) return console.log(HELP);
  const since = Date.now();
  await requireReplaceable(options.out);
  await ensureInstalled();
  await ensureBuilt();
  const problem = await ensurePython();
  if (problem !== undefined) throw new Stop(`Training needs Python: ${problem}.`);
  const draft = await train(options);
  await step('node', [join(root, 'libs', 'vectors', 'dist', 'build-segments.js'), draft], 'The segment builder');
  const { id } = JSON.parse(await readFile(join(draft, 'manifest.json'), 'utf8'));
  const target = resolve(options.out ?? join(root, '.onepass', 'releases', id));
  await move(draft, target);
  const shown = relative(process.cwd(), target);
  console.log(
    `\n${bold(`Release ${id}`)} after ${elapsed(since)}: ${shown}\nServe it: npm start -- --release ${shown}`,
  );
}

/**
 * @param {ReturnType<typeof parse>} options
 * @returns {Promise<string>} the directory of the release draft
 */
async function train(options) {
  const directory = join(root, '.onepass', 'training', `${options.smoke ? 'smoke' : 'full'}-seed${options.seed ?? 1}`);
  if (!options.resume) await rm(directory, { recursive: true, force: true });
  const draft = join(directory, 'draft');
  await rm(draft, { recursive: true, force: true });
  const passedOn = [
    ...['smoke', 'resume'].filter((name) => Reflect.get(options, name)).map((name) => `--${name}`),
    ...['seed', 'threads', 'steps'].flatMap((name) => {
      const value = Reflect.get(options, name);
      return value === undefined ? [] : [`--${name}`, value];
    }),
  ];
  await step(python, ['-m', 'onepass_training', 'train', '--out', directory, ...passedOn], 'Training', {
    PYTHONPATH: join(root, 'training', 'src'),
  });
  return draft;
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} name for the sentence when it fails
 * @param {Record<string, string>} [env]
 */
async function step(command, args, name, env = {}) {
  const code = await runVisibly(command, args, { env });
  if (code !== 0) throw new Stop(`${name} failed with exit code ${code}; its own message is above.`);
}

/**
 * Only a release may be replaced by one: never a directory that holds something else.
 * @param {string | undefined} out
 */
async function requireReplaceable(out) {
  if (out === undefined || !(await exists(out)) || (await exists(join(out, 'manifest.json')))) return;
  throw new Stop(`${out} exists and is not a release; choose another --out.`);
}

/**
 * @param {string} from
 * @param {string} to replaced when it is there
 */
async function move(from, to) {
  await mkdir(dirname(to), { recursive: true });
  await rm(to, { recursive: true, force: true });
  try {
    await rename(from, to);
  } catch {
    // Another file system.
    await cp(from, to, { recursive: true });
    await rm(from, { recursive: true });
  }
}

/** @param {string} path */
async function exists(path) {
  return access(path).then(
    () => true,
    () => false,
  );
}

await main(() => run(process.argv.slice(2)));
