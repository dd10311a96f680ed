// `npm run train`: from nothing to a release directory.
import { access, cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/build.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { requirePlatform } from './lib/platform.mjs';
import { ensurePython, python } from './lib/python.mjs';
import { bold, elapsed, main, runVisibly, Stop } from './lib/steps.mjs';

requirePlatform();

const HELP = `npm run train [-- options]

Makes the synthetic world (or takes your own logs), trains the model on it, exports it and builds the release that the mesh
serves. The run, with its checkpoints, lies in .onepass/training/<full, smoke, large or data-FOLDER>-seed<N>.

  --data FOLDER   learn from these logs: a folder in the schema of docs/data.md, a mesh's export, or a MovieLens data set
  --items FILE    the items, where FOLDER has none (.parquet, .csv or .jsonl)
  --vocabulary P  a release or a dataset.json that names actions and surfaces, where FOLDER has no dataset.json
  --smoke         a tiny world (or your logs) and a tiny model, done in under a minute
  --large         a larger model, for a GPU (synthetic world only)
  --seed N        seed of the world, the weights and all draws (default 1)
  --threads N     CPU threads; one seed gives the same metrics for one number of threads (default 2, below width 128 1)
  --device D      auto (a GPU where there is one; default), cpu or cuda
  --precision P   of training's trunk: auto (bf16 on a GPU, else fp32; default), fp32 or bf16
  --steps N       optimiser steps (default: enough for the release)
  --patience N    stop after so many validations without a better loss; 0 never does
  --resume        go on from the last checkpoint of this size and seed
  --serve P       precision that the release serves in: fp32 (default), int8, or auto, which is int8 where it is faster
                  and costs little
  --out DIR       where the release goes; a release that is there is replaced (default .onepass/releases/<release id>)
  --help          this text`;

/** @param {string[]} args */
function parse(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values } = parseArgs({
      args,
      options: {
        ...{ data: text, items: text, vocabulary: text },
        ...{ smoke: flag, large: flag, seed: text, threads: text, steps: text, patience: text, resume: flag },
        ...{ device: text, precision: text, serve: text, out: text, help: flag },
      },
    });
    requireNumber('seed', values.seed, 0);
    requireNumber('threads', values.threads, 1);
    requireNumber('steps', values.steps, 1);
    requireNumber('patience', values.patience, 0);
    for (const [name, known] of Object.entries(WORDS)) requireWord(name, Reflect.get(values, name), known);
    if (values.large && values.smoke) throw new Error('--large and --smoke are two sizes; name one');
    if (values.large && values.data !== undefined)
      throw new Error('--large is for the synthetic world, not for --data');
    for (const name of /** @type {const} */ (['items', 'vocabulary'])) {
      if (values[name] !== undefined && values.data === undefined) throw new Error(`--${name} needs --data`);
    }
    return values;
  } catch (error) {
    throw new Stop(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/** Options that take one of a few words, as the Python command does. */
const WORDS = {
  device: ['auto', 'cpu', 'cuda'],
  precision: ['auto', 'fp32', 'bf16'],
  serve: ['fp32', 'int8', 'auto'],
};

/**
 * @param {string} name
 * @param {string | undefined} value
 * @param {readonly string[]} known
 */
function requireWord(name, value, known) {
  if (value === undefined || known.includes(value)) return;
  throw new Error(`--${name} must be one of ${known.join(', ')}, not "${value}"`);
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
  await requireData(options);
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
  const directory = join(root, '.onepass', 'training', `${nameOf(options)}-seed${options.seed ?? 1}`);
  if (!options.resume) await clear(directory);
  const draft = join(directory, 'draft');
  await rm(draft, { recursive: true, force: true });
  const passedOn = [
    ...['smoke', 'large', 'resume'].filter((name) => Reflect.get(options, name)).map((name) => `--${name}`),
    ...['seed', 'threads', 'steps', 'patience', 'device', 'precision', 'serve'].flatMap((name) => {
      const value = Reflect.get(options, name);
      return value === undefined ? [] : [`--${name}`, value];
    }),
    ...['data', 'items', 'vocabulary'].flatMap((name) => {
      const value = Reflect.get(options, name);
      return value === undefined ? [] : [`--${name}`, resolve(value)];
    }),
  ];
  await step(python, ['-m', 'onepass_training', 'train', '--out', directory, ...passedOn], 'Training', {
    PYTHONPATH: join(root, 'training', 'src'),
  });
  return draft;
}

const KEPT = new Set(['dataset', 'logs', 'logs.source']);

/**
 * All but the logs as they were converted and prepared, which are used again where they still are the same.
 * @param {string} directory
 */
async function clear(directory) {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!KEPT.has(name)) await rm(join(directory, name), { recursive: true });
  }
}

/**
 * A run of its own for each folder of data and size, so that none goes on from another's checkpoint.
 * @param {ReturnType<typeof parse>} options
 */
function nameOf({ data, smoke, large }) {
  if (data === undefined) return smoke ? 'smoke' : large ? 'large' : 'full';
  const name = basename(resolve(data)).replaceAll(/[^\w.-]/g, '_');
  return `data-${name}${smoke ? '-smoke' : ''}`;
}

/**
 * Told here, before anything is installed.
 * @param {ReturnType<typeof parse>} options
 */
async function requireData(options) {
  for (const name of /** @type {const} */ (['data', 'items', 'vocabulary'])) {
    const path = options[name];
    if (path !== undefined && !(await exists(path))) throw new Stop(`--${name}: ${path} does not exist.`);
  }
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
