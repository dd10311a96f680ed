import { join, resolve } from 'node:path';
import { startupError } from '@onepass/errors';
import { readCommandLine } from '@onepass/local';
import { REPORT_FOLDER } from '../summary.js';

export const DTYPES = ['float16', 'float32'] as const;
export type Dtype = (typeof DTYPES)[number];
export type DeviceChoice = 'auto' | 'cpu' | `cuda:${number}`;

/** What is measured. */
export interface BenchShape {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Tokens held of each person. */
  readonly n: number;
  /** Candidates of a slate. */
  readonly k: number;
  /** The largest; smaller powers of two are measured beside it. */
  readonly batch: number;
  readonly dtype: Dtype;
}

export interface GpuOptions {
  readonly device: DeviceChoice;
  /** Of the shape: undefined is the default of the device that is found. */
  readonly shape: Partial<BenchShape>;
  readonly rounds: number;
  readonly smoke: boolean;
  /** Whether the device shows what it has to show first, in place of times. */
  readonly check: boolean;
  /** Whether all of it is done, one after the other. */
  readonly all: boolean;
  /** For all of it; undefined = as long as it takes. */
  readonly minutes: number | undefined;
  /** Findings whose tables are made again; undefined: something is run. */
  readonly tell: string | undefined;
  /** Folder of what was found. */
  readonly out: string;
  /** Runs; undefined: measure times instead. */
  readonly soak: number | undefined;
  /** Of the soak. */
  readonly people: number;
  /** Interpreter with numpy, onnx and, to compare with, PyTorch, in place of training's own environment. */
  readonly python: string | undefined;
  /** Folder of ONNX Runtime's libraries in place of those of the npm package, which know the CPU only. */
  readonly libraries: string | undefined;
}

export const HELP = `npm run bench:gpu -- [options]

Measures the device engine on this machine's GPU, or where there is none on its CPU: encoding, appending, ranking on held KV and recomputing, with every kind of attention that the
device graphs have, with and without CUDA graphs, by batches, beside the same trunk in PyTorch. Weights are made up. Results: a table, and perf/report/gpu/.
Figures of a CUDA device also go to perf/report/summary.json. More: docs/gpu.md.

It needs no Go, but Python >= 3.11: on a fresh clone the first run installs training's environment, PyTorch among it, from the internet, which takes minutes and 6 GB of disk.
Later runs need no internet. --python takes an interpreter that is there instead, and installs none.

  --device D     auto (a GPU where one works, else the CPU), cpu, or cuda:0; default auto
  --layers N     layers of the trunk; default 12 on a GPU, 4 on a CPU
  --width N      its width; default 768, on a CPU 128
  --heads N      attention heads; default: of 64 columns from width 512 on, of 32 below
  --n N          tokens held of each person; default 992, on a CPU 256
  --k N          candidates of each slate; default 656, on a CPU 200
  --batch N      people in one run, a power of two up to 64; default 8, on a CPU 2
  --dtype T      float16 or float32, of weights and KV; default float16, on a CPU float32
  --rounds N     everything is measured once a round, in turns; default 7
  --check        in place of times: all that a device has to show first, one line each; exit code 1 where something failed
  --minutes M    no more than so long: fewer rounds, checks or runs; what was measured until then is told and kept
  --all          check, bench, soak and the release's shape, one after the other, in --minutes (default 25); what was done is not done again by a later one with
                 the same --out, and the environment variable OUT names a folder into which results are copied as they come
  --tell PATH    runs nothing: the tables and the page of findings that were kept (a folder, or its findings.json)
  --soak RUNS    in place of times: so many runs for --people people, and what memory does meanwhile
  --people N     of the soak; default 10000
  --python PATH  an interpreter that has numpy, onnx and, to compare with, PyTorch, in place of the environment of training/
  --libraries D  folder of ONNX Runtime's libraries with CUDA; default ONEPASS_ONNXRUNTIME_DIR, else the npm package's
  --out DIR      folder of what was found; default perf/report/gpu
  --smoke        a tiny shape on the CPU, in seconds once Python is set up: shows that it works; its figures are not kept
  --help         this text`;

/** What is measured where the options say nothing: the shape of UniPinRec's Table 2, and on a CPU that of the release in the repository. */
const DEFAULTS = {
  cuda: { layers: 12, width: 768, n: 992, k: 656, batch: 8, dtype: 'float16' },
  cpu: { layers: 4, width: 128, n: 256, k: 200, batch: 2, dtype: 'float32' },
} as const;

const FOLDER = join(REPORT_FOLDER, 'gpu');

export const SMOKE = { layers: 2, width: 32, heads: 2, n: 40, k: 12, batch: 2, dtype: 'float32' } as const;

/** @throws OnepassError `startup` naming the option that is wrong */
export function parseGpuOptions(args: readonly string[], env: NodeJS.ProcessEnv = {}): 'help' | GpuOptions {
  const values = parse(args);
  const libraries = values.libraries ?? env.ONEPASS_ONNXRUNTIME_DIR;
  if (values.help) return 'help';
  const whole = (name: keyof typeof values, to: number, from = 1) =>
    numberOf(`--${name}`, values[name] as string | undefined, { from, to });
  const given = {
    layers: whole('layers', 96),
    width: whole('width', 4_096, 2),
    heads: whole('heads', 256),
    n: whole('n', 8_192, 2),
    k: whole('k', 2_000),
    batch: batchOf(values.batch),
    dtype: dtypeOf(values.dtype),
  };
  const shape = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const runs = (['check', 'soak', 'all', 'tell'] as const).filter((name) => values[name]);
  if (runs.length > 1) throw startupError(`--${runs.join(' and --')} are runs of their own: give one of them`);
  const people = whole('people', 10_000_000);
  const soak = whole('soak', 1_000_000_000);
  if (people !== undefined && soak === undefined) throw startupError('--people is of a soak: give --soak RUNS too');
  refuseIdle(values, runs[0]);
  if (values.smoke && values.device !== undefined && values.device !== 'cpu') {
    throw startupError(`--smoke runs on the CPU, not on --device ${values.device}`);
  }
  return {
    device: values.smoke ? 'cpu' : deviceOf(values.device ?? 'auto'),
    shape: values.smoke ? { ...SMOKE, ...shape } : shape,
    rounds: whole('rounds', 1_000) ?? (values.smoke ? 2 : 7),
    smoke: values.smoke,
    check: values.check,
    all: values.all,
    minutes: whole('minutes', 1_440),
    tell: values.tell === undefined ? undefined : resolve(values.tell),
    out: values.out === undefined ? FOLDER : resolve(values.out),
    soak,
    people: people ?? (values.smoke ? 50 : 10_000),
    python: values.python === undefined ? undefined : resolve(values.python),
    libraries: libraries ? resolve(libraries) : undefined,
  };
}

/** The whole shape, with the defaults of the device. @throws OnepassError `startup` where width and heads do not fit */
export function shapeFor(device: string, given: Partial<BenchShape>): BenchShape {
  const shape = { ...(device === 'cpu' ? DEFAULTS.cpu : DEFAULTS.cuda), ...given };
  const heads = shape.heads ?? Math.max(1, Math.floor(shape.width / (shape.width >= 512 ? 64 : 32)));
  if (shape.width % (2 * heads) !== 0) {
    throw startupError(`--width ${shape.width} cannot be cut into ${heads} heads of an even size`);
  }
  return { ...shape, heads };
}

/** 1, 2, 4 and so on up to `batch`. */
export const batchesUpTo = (batch: number): number[] =>
  Array.from({ length: Math.log2(batch) + 1 }, (_, power) => 2 ** power);

function parse(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  return readCommandLine({
    args: [...args],
    options: {
      ...{ device: text, layers: text, width: text, heads: text, n: text, k: text, batch: text, dtype: text },
      ...{
        rounds: text,
        soak: text,
        people: text,
        python: text,
        libraries: text,
        minutes: text,
        out: text,
        tell: text,
        check: flag,
        all: flag,
        smoke: flag,
        help: flag,
      },
    },
  }).values;
}

const OF_SHAPE = ['layers', 'width', 'heads', 'n', 'k', 'batch', 'dtype'] as const;

/** Options that a run has no use for. `--python` and `--libraries` say what a machine has: a pack gives them to every run. */
const IDLE = {
  tell: ['device', ...OF_SHAPE, 'rounds', 'minutes', 'smoke'],
  all: [...OF_SHAPE, 'rounds'],
  check: ['rounds'],
  soak: ['rounds'],
} as const;

/** @throws OnepassError `startup` naming the two options */
function refuseIdle(values: ReturnType<typeof parse>, run: keyof typeof IDLE | undefined): void {
  const idle = run && IDLE[run].find((name) => values[name]);
  if (idle !== undefined) throw startupError(`--${run} has no use for --${idle}`);
  if (values.smoke && values.out !== undefined && run !== 'check' && run !== 'all')
    throw startupError('--smoke keeps no findings: it has no use for --out but with --check or --all');
}

function numberOf(
  option: string,
  raw: string | undefined,
  { from, to }: { from: number; to: number },
): number | undefined {
  if (raw === undefined) return undefined;
  const value = /^\d{1,10}$/.test(raw) ? Number(raw) : Number.NaN;
  if (value >= from && value <= to) return value;
  throw startupError(`${option} must be a whole number from ${from} to ${to}, not "${raw}"`);
}

const MOST_PEOPLE = 64;

function batchOf(raw: string | undefined): number | undefined {
  const batch = numberOf('--batch', raw, { from: 1, to: MOST_PEOPLE });
  if (batch === undefined || Number.isInteger(Math.log2(batch))) return batch;
  throw startupError(`--batch must be a power of two, not ${batch}`);
}

function dtypeOf(raw: string | undefined): Dtype | undefined {
  if (raw === undefined || raw === 'float16' || raw === 'float32') return raw;
  throw startupError(`--dtype must be float16 or float32, not "${raw}"`);
}

function deviceOf(raw: string): DeviceChoice {
  if (raw === 'auto' || raw === 'cpu' || /^cuda:\d{1,3}$/.test(raw)) return raw as DeviceChoice;
  throw startupError(`--device must be auto, cpu or cuda:0 (or another number), not "${raw}"`);
}
