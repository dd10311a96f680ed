import { execFile, execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { startupError } from '@onepass/errors';

const VERSION = 'v0.120.0';

/** One load: a closed loop of `concurrency` calls at any time, or an open one at a rate. */
export interface Load {
  readonly address: string;
  readonly method: string;
  /** Descriptors of the contract. Without them ghz would ask the server for reflection, whose cost is not a page's. */
  readonly protoset: string;
  /** JSON file with an array of requests, sent in turn. */
  readonly requests: string;
  readonly concurrency: number;
  readonly connections: number;
  readonly seconds: number;
  /** Calls a second, sent whether or not those before them are answered; absent = a closed loop. */
  readonly rate?: number;
}

/** One call as ghz saw it. */
export interface SeenCall {
  /** Name of its gRPC status as ghz writes it: OK, ResourceExhausted. */
  readonly status: string;
  readonly ms: number;
}

export interface LoadResult {
  readonly calls: number;
  /** By gRPC status, OK left out. */
  readonly errors: Readonly<Record<string, number>>;
  readonly qps: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

/**
 * Where ghz is: on the PATH, or where Go installs it.
 * @throws OnepassError `startup` saying how to get it.
 */
export function findGhz(env: NodeJS.ProcessEnv = process.env): string {
  const folders = [...(env.PATH ?? '').split(delimiter), join(homedir(), 'go', 'bin'), ...goBin()];
  const found = folders.map((folder) => join(folder, 'ghz')).find(isExecutable);
  if (found !== undefined) return found;
  throw startupError(`ghz was not found; get it with: go install github.com/bojand/ghz/cmd/ghz@${VERSION}`);
}

function goBin(): string[] {
  try {
    return [
      join(
        execFileSync('go', ['env', 'GOPATH'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim(),
        'bin',
      ),
    ];
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Writes the contract's descriptors to `file`, for ghz. */
export async function writeProtoset(root: string, file: string): Promise<void> {
  const buf = join(root, 'node_modules', '.bin', 'buf');
  await promisify(execFile)(buf, [
    'build',
    join(root, 'proto'),
    '--as-file-descriptor-set',
    '-o',
    `${file}#format=binpb`,
  ]);
}

/** Loads a server and answers what ghz saw. */
export async function runGhz(ghz: string, load: Load): Promise<LoadResult> {
  return parseGhz(await report(ghz, load));
}

/** Loads a server and answers every call. */
export async function runGhzCalls(ghz: string, load: Load): Promise<SeenCall[]> {
  const { details } = JSON.parse(await report(ghz, load)) as { details: { status: string; latency: number }[] };
  return details.map(({ status, latency }) => ({ status, ms: latency / 1e6 }));
}

async function report(ghz: string, load: Load): Promise<string> {
  const { stdout } = await promisify(execFile)(
    ghz,
    [
      '--insecure',
      `--protoset=${load.protoset}`,
      `--call=${load.method}`,
      `--data-file=${load.requests}`,
      `--concurrency=${load.concurrency}`,
      `--connections=${load.connections}`,
      `--duration=${load.seconds}s`,
      ...(load.rate === undefined ? [] : [`--rps=${load.rate}`, '--async']),
      // Calls under way at the end are waited for: cut off they would count as errors of the server.
      '--duration-stop=wait',
      '--format=json',
      load.address,
    ],
    { maxBuffer: 1 << 30 },
  );
  return stdout;
}

/** What counts in ghz's JSON report. Latencies are of calls that went well. */
export function parseGhz(json: string): LoadResult {
  const report = JSON.parse(json) as {
    count: number;
    rps: number;
    latencyDistribution: { percentage: number; latency: number }[] | null;
    statusCodeDistribution: Record<string, number>;
  };
  const { OK: _, ...errors } = report.statusCodeDistribution;
  const percentile = (p: number) =>
    (report.latencyDistribution?.find((entry) => entry.percentage === p)?.latency ?? Number.NaN) / 1e6;
  return {
    calls: report.count,
    errors,
    qps: report.rps,
    p50Ms: percentile(50),
    p90Ms: percentile(90),
    p99Ms: percentile(99),
  };
}
