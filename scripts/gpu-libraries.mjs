// `node scripts/gpu-libraries.mjs`: ONNX Runtime's CUDA build, of the version that is pinned, out of its Python wheel.
import { createHash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './lib/paths.mjs';
import { ensurePython, python } from './lib/python.mjs';
import { main, report, runVisibly, Stop } from './lib/steps.mjs';

const HELP = `node scripts/gpu-libraries.mjs --out DIR

Downloads ONNX Runtime's libraries with CUDA (247 MB, for Linux on x86-64) with pip and checks them, for ONEPASS_ONNXRUNTIME_DIR, --libraries and the tests of what a GPU is given
(ONEPASS_TEST_CUDA_LIBRARIES). The driver and CUDA's own libraries are not in it: docs/gpu.md. Does nothing where they are there and whole.

  --out DIR   folder of libonnxruntime.so.1 and both providers
  --help      this text`;

// Beside the version of onnxruntime-node, which must be the same: a test compares them.
const WHEEL =
  'onnxruntime-gpu==1.30.0 --hash=sha256:6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1\n';
const PLATFORM = ['--python-version', '3.12', '--implementation', 'cp', '--platform', 'manylinux_2_28_x86_64'];
const STAMP = '.onepass-wheel';
const VERSION = WHEEL.slice(0, WHEEL.indexOf(' ')).split('==')[1];
/**
 * Of the wheel: what they are called in the folder, and their SHA-256.
 * @type {Record<string, readonly [name: string, sha256: string]>}
 */
const FILES = {
  [`libonnxruntime.so.${VERSION}`]: [
    'libonnxruntime.so.1',
    '5a140dc17c8b60b35b2ceab0bb533e65ac54f06a208948417c1f9c31df6afc4c',
  ],
  'libonnxruntime_providers_shared.so': [
    'libonnxruntime_providers_shared.so',
    '086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d',
  ],
  'libonnxruntime_providers_cuda.so': [
    'libonnxruntime_providers_cuda.so',
    '35da2e7ed0dd0d1aec5cdb16ce11a51d06c0c48cf62d1b1c9332946a4fae14fc',
  ],
};

const UNPACK = `
import sys, zipfile, pathlib
wheel, out, *names = sys.argv[1:]
with zipfile.ZipFile(next(pathlib.Path(wheel).glob("*.whl"))) as archive:
    for name in names:
        source, target = name.split("=")
        (pathlib.Path(out) / target).write_bytes(archive.read("onnxruntime/capi/" + source))
`;

await main(async () => {
  const out = parse(process.argv.slice(2));
  if (out === undefined) return console.log(HELP);
  if (await isWhole(out)) return report('libraries', `up to date in ${out}`);
  const isOurs = (await readFile(join(out, STAMP), 'utf8').catch(() => '')) !== '';
  if (!isOurs && (await isThere(out))) throw new Stop(`--out ${out} is there already, and not made by this command.`);
  const problem = await ensurePython();
  if (problem !== undefined) throw new Stop(problem);
  const making = await makeBeside(out);
  process.once('SIGINT', () => {
    rmSync(making, { recursive: true, force: true });
    process.exit(130);
  });
  try {
    await unpack(making);
    await writeFile(join(making, STAMP), WHEEL);
    await chmod(making, 0o755);
    if (isOurs) await rm(out, { recursive: true });
    await rename(making, out);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  report('libraries', `of ONNX Runtime ${VERSION} with CUDA in ${out}`);
});

/**
 * Of this version, and no file altered.
 * @param {string} folder
 */
async function isWhole(folder) {
  for (const [name, sha256] of Object.values(FILES)) {
    const file = join(folder, name);
    if (!(await isThere(file))) return false;
    const hash = createHash('sha256');
    for await (const part of createReadStream(file)) hash.update(part);
    if (hash.digest('hex') !== sha256) return false;
  }
  return true;
}

/** @param {string} path */
function isThere(path) {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * A folder beside `out`, to be renamed to it.
 * @param {string} out
 */
async function makeBeside(out) {
  try {
    await mkdir(dirname(out), { recursive: true });
    return await mkdtemp(`${out}.`);
  } catch (error) {
    throw new Stop(`--out ${out} cannot be made: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} folder */
async function unpack(folder) {
  const wheel = join(folder, 'wheel');
  await mkdir(wheel);
  const lock = join(wheel, 'requirements.lock');
  await writeFile(lock, WHEEL);
  const download = [
    '-m',
    'pip',
    'download',
    '--disable-pip-version-check',
    '--quiet',
    '--no-deps',
    '--only-binary=:all:',
  ];
  if (
    (await runVisibly(python, [...download, ...PLATFORM, '--require-hashes', '-r', lock, '-d', wheel], {
      cwd: root,
    })) !== 0
  )
    throw new Stop('pip download failed; it says why above.');
  const names = Object.entries(FILES).map(([source, [target]]) => `${source}=${target}`);
  if ((await runVisibly(python, ['-c', UNPACK, wheel, folder, ...names], { cwd: root })) !== 0)
    throw new Stop('the wheel could not be unpacked; Python says why above.');
  await rm(wheel, { recursive: true });
}

/** @param {readonly string[]} args */
function parse(args) {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options: { out: { type: 'string' }, help: { type: 'boolean' } } }));
  } catch (error) {
    throw new Stop(`${/** @type {Error} */ (error).message}; try --help.`);
  }
  if (values.help) return undefined;
  if (values.out === undefined) throw new Stop('--out is missing; try --help.');
  return resolve(values.out);
}
