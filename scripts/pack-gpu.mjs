// `node scripts/pack-gpu.mjs`: what `npm run bench:gpu` needs on a machine that has nothing but Python with PyTorch and onnx, and a GPU's driver, in files of a
// bounded size. docs/gpu.md says how to use them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureBuilt } from './lib/build.mjs';
import { keepCapability } from './lib/fatbin.mjs';
import { root } from './lib/paths.mjs';
import { main, report, runVisibly, Stop } from './lib/steps.mjs';

const HELP = `node scripts/pack-gpu.mjs --out DIR --libraries DIR [options]

Packs the built bench, this Node, the npm packages that it needs and ONNX Runtime's CUDA libraries into part files and a run.sh that puts them together.

  --out DIR        folder of the parts; must not exist
  --libraries DIR  folder of libonnxruntime.so.1 and both providers, as docs/gpu.md makes it
  --arch N         keep only the machine code of this compute capability (90 = H100, H200; 89 = L4, L40S); else of all
  --part-mb N      size of a part; default 47
  --help           this text`;

const LIBRARIES = ['libonnxruntime.so.1', 'libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
/** Of packages that are needed, what no Linux on x86-64 runs, and what nobody runs. */
const LEFT_OUT =
  /\/(darwin|win32|linux\/arm64)(\/|$)|\.(map|md|markdown|pdb|lib|d\.[cm]?ts)$|\/(test|tests|docs|examples|onnxruntime-node\/bin)(\/|$)/;
/** Filters of xz: the part for x86 finds more in programs, the large dictionary in kernels that are alike. */
const XZ = 'xz --x86 --lzma2=preset=6,dict=128MiB';
const PARTS = 'parts';

const ENTRY = `import { runBenchGpu } from './perf/dist/index.js';
process.exit(await runBenchGpu(process.argv.slice(2)));
`;

const START = `#!/bin/sh
# The bench with this machine's Python and the CUDA libraries of its packages; ONEPASS_CUDNN=no leaves cuDNN out, without which attention "mha" cannot run.
here=$(cd "$(dirname "$0")" && pwd)
python=\${PYTHON:-$(command -v python3)}
beside=$("$python" -c 'import glob, os, sysconfig
folders = sorted(glob.glob(os.path.join(sysconfig.get_paths()["purelib"], "nvidia", "*", "lib")))
print(":".join(folder for folder in folders if os.environ.get("ONEPASS_CUDNN") != "no" or "cudnn" not in folder))')
# What is set goes first; the last two are where containers have a driver.
export LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/onnxruntime:$beside:/usr/local/nvidia/lib64:/usr/local/cuda/lib64"
export UV_THREADPOOL_SIZE=16
exec "$here/node" "$here/bench-gpu.mjs" --python "$python" --libraries "$here/onnxruntime" "$@"
`;

const RUN = `#!/bin/sh
# Puts the parts together in ONEPASS_DIR (default /tmp/onepass-gpu), once, and runs the bench with what stands behind.
# "run.sh ahead SOURCES", while parts are still to come: PyTorch compiles in the background what the bench will ask it for; SOURCES is the folder of onepass_training.
set -e
here=$(cd "$(dirname "$0")" && pwd)
to=\${ONEPASS_DIR:-/tmp/onepass-gpu}
python=\${PYTHON:-python3}
if [ "$1" = ahead ]; then
  nvidia-smi || true
  PYTHONPATH=$2 setsid "$python" -m onepass_training.peer.ahead --n 992 --layers 12 --width 768 --k 656 --batch 8 > "$here/ahead.log" 2>&1 < /dev/null &
  echo $! > "$here/ahead.pid"
  sleep 1
  exit
fi
if [ ! -x "$to/bench-gpu.sh" ]; then
  (cd "$here" && sha256sum --quiet -c SHA256SUMS)
  rm -rf "$to.unpacking"
  mkdir -p "$to.unpacking"
  cat "$here"/parts/part-* | "$python" -c 'import sys, tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz") as parts:
    parts.extractall(sys.argv[1], filter="tar")' "$to.unpacking"
  mv "$to.unpacking" "$to"
fi
# Whatever uses the device beside the bench is in its numbers.
if [ -f "$here/ahead.pid" ]; then
  for second in $(seq 90); do kill -0 "$(cat "$here/ahead.pid")" 2> /dev/null && sleep 1 || break; done
  kill "$(cat "$here/ahead.pid")" 2> /dev/null || true
  rm "$here/ahead.pid"
  cat "$here/ahead.log"
fi
exec "$to/bench-gpu.sh" "$@"
`;

await main(async () => {
  const options = parse(process.argv.slice(2));
  if (options === undefined) return console.log(HELP);
  await ensureBuilt();
  const making = await mkdtemp(join(tmpdir(), 'onepass-pack-'));
  try {
    const content = join(making, 'onepass');
    await copyRepository(content);
    await copyLibraries(content, options);
    const archive = join(making, 'all.tar.xz');
    report('compressing', 'some minutes');
    if ((await runVisibly('tar', ['-C', content, '-I', XZ, '-cf', archive, '.'])) !== 0)
      throw new Stop('tar failed; it says why above (it needs xz).');
    await writeParts(archive, options);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
});

/** @param {readonly string[]} args */
function parse(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  let values;
  try {
    const options = {
      out: text,
      libraries: text,
      arch: text,
      'part-mb': text,
      help: { type: /** @type {const} */ ('boolean') },
    };
    values = parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new Stop(/** @type {Error} */ (error).message);
  }
  if (values.help) return undefined;
  const { out, libraries } = values;
  if (out === undefined || libraries === undefined)
    throw new Stop('--out and --libraries are needed; --help says what they are');
  if (existsSync(out)) throw new Stop(`--out ${out} is there already`);
  const missing = LIBRARIES.find((file) => !existsSync(join(libraries, file)));
  if (missing !== undefined) throw new Stop(`--libraries ${libraries} has no ${missing}`);
  return {
    out: resolve(out),
    libraries: resolve(libraries),
    arch: whole('--arch', values.arch),
    partMb: whole('--part-mb', values['part-mb']) ?? 47,
  };
}

/**
 * @param {string} option
 * @param {string | undefined} raw
 */
function whole(option, raw) {
  if (raw === undefined) return undefined;
  if (/^[1-9]\d{0,3}$/.test(raw)) return Number(raw);
  throw new Stop(`${option} must be a whole number above 0, not "${raw}"`);
}

/**
 * The built workspaces in their places, the npm packages that the bench loads, training's sources, and Node.
 * @param {string} content
 */
async function copyRepository(content) {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const needed = closureOf(packages, 'perf');
  for (const path of needed) {
    const from = join(root, path);
    const isWorkspace = !path.includes('node_modules/');
    const parts = isWorkspace ? ['package.json', 'dist'] : ['.'];
    if (!existsSync(from)) continue;
    for (const part of parts) {
      const filter = (/** @type {string} */ source) => !LEFT_OUT.test(source.slice(root.length));
      await cp(join(from, part), join(content, path, part), { recursive: true, filter });
    }
  }
  // Links of the workspaces, as npm makes them.
  await cp(join(root, 'node_modules', '@onepass'), join(content, 'node_modules', '@onepass'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  const filter = (/** @type {string} */ source) => !source.includes('__pycache__');
  await cp(join(root, 'training', 'src'), join(content, 'training', 'src'), { recursive: true, filter });
  await copyNode(join(content, 'node'));
  await writeFile(join(content, 'package.json'), '{ "type": "module" }\n');
  await writeFile(join(content, 'bench-gpu.mjs'), ENTRY);
  await writeFile(join(content, 'bench-gpu.sh'), START, { mode: 0o755 });
  report('packages', `${needed.length} of ${Object.keys(packages).length}`);
}

/**
 * This Node, without its symbols where they can be taken out.
 * @param {string} to
 */
async function copyNode(to) {
  await copyFile(process.execPath, to);
  const stripped = spawnSync('strip', ['--strip-unneeded', to]);
  if (stripped.status !== 0) await copyFile(process.execPath, to);
}

/**
 * Paths of a workspace and of everything that it needs when it runs. Optional packages count: those of other platforms are not installed.
 * @param {Record<string, { dependencies?: object, optionalDependencies?: object, resolved?: string, link?: boolean }>} packages
 * @param {string} workspace
 * @returns {string[]}
 */
function closureOf(packages, workspace) {
  const seen = new Set([workspace]);
  for (const path of seen) {
    const { dependencies = {}, optionalDependencies = {} } = packages[path] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const found = resolvedFrom(packages, path, name);
      if (found !== undefined) seen.add(found);
    }
  }
  return [...seen];
}

/**
 * As Node looks for it: in the folder's own node_modules, then further up.
 * @param {Record<string, { resolved?: string, link?: boolean }>} packages
 * @param {string} from
 * @param {string} name
 */
function resolvedFrom(packages, from, name) {
  for (let folder = from; ; folder = folder.includes('/') ? folder.slice(0, folder.lastIndexOf('/')) : '') {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    const found = packages[path];
    if (found !== undefined) return found.link ? found.resolved : path;
    if (folder === '') return undefined;
  }
}

/**
 * @param {string} content
 * @param {{ libraries: string, arch: number | undefined }} options
 */
async function copyLibraries(content, { libraries, arch }) {
  const to = join(content, 'onnxruntime');
  await mkdir(to);
  for (const file of LIBRARIES) {
    const library = await readFile(join(libraries, file));
    if (arch !== undefined) {
      const { kept, zeroed, found } = keepCapability(library, arch);
      if (found.length > 0 && !found.includes(arch))
        throw new Stop(`${file} has no machine code for --arch ${arch}, but for ${found.join(', ')}`);
      if (zeroed > 0)
        report(file, `${(kept / 1e6).toFixed(0)} MB of machine code kept, ${(zeroed / 1e6).toFixed(0)} MB zeroed`);
    }
    await writeFile(join(to, file), library);
  }
}

/**
 * @param {string} archive
 * @param {{ out: string, partMb: number }} options
 */
async function writeParts(archive, { out, partMb }) {
  await mkdir(join(out, PARTS), { recursive: true });
  const size = partMb * 1e6;
  const file = await open(archive);
  const sums = [];
  for (let part = 0; ; part++) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, part * size);
    if (bytesRead === 0) break;
    const name = `part-${String(part).padStart(2, '0')}`;
    const content = buffer.subarray(0, bytesRead);
    await writeFile(join(out, PARTS, name), content);
    sums.push(`${createHash('sha256').update(content).digest('hex')}  ${PARTS}/${name}\n`);
  }
  await file.close();
  await writeFile(join(out, 'SHA256SUMS'), sums.join(''));
  await writeFile(join(out, 'run.sh'), RUN, { mode: 0o755 });
  const { length } = await readdir(join(out, PARTS));
  report('packed', `${length} parts of at most ${partMb} MB in ${out}`);
}
