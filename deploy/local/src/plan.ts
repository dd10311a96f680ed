/** One process of the mesh, before it is started. */
export interface RolePlan {
  readonly role: string;
  /** The program that node runs. */
  readonly program: string;
  /** host:port that it will listen on. */
  readonly address: string;
  /** Added to the supervisor's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Added to that; read at every start of the role, so that it may start otherwise than before. */
  readonly overrides?: Readonly<Record<string, string>> | undefined;
}

export interface MeshPlanOptions {
  /** The repository's directory. */
  readonly root: string;
  readonly host: string;
  /** gateway, user-encoder, retrieval, ranking. */
  readonly ports: readonly [number, number, number, number];
  readonly releaseDir: string;
  readonly dataDir: string;
  readonly cellDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Threads of libuv's pool that stay free for files, DNS and LMDB while every graph run in flight holds one. */
const SPARE_THREADS = 4;
const DEFAULT_IN_FLIGHT = 2;

/** The four processes, in the order in which they are started; they stop in reverse. */
export function planMesh(options: MeshPlanOptions): RolePlan[] {
  const { host, ports, releaseDir, dataDir, cellDir, env } = options;
  const [gateway, userEncoder, retrieval, ranking] = ports;
  const inFlight = Number(env.ONEPASS_INFERENCE_IN_FLIGHT || DEFAULT_IN_FLIGHT);
  const common = {
    ONEPASS_MODE: env.ONEPASS_MODE || 'development',
    ONEPASS_HOST: host,
    ONEPASS_RELEASE_DIR: releaseDir,
    // A value that is not a number is left for the service to refuse in its own words.
    UV_THREADPOOL_SIZE: String((Number.isFinite(inFlight) ? inFlight : DEFAULT_IN_FLIGHT) + SPARE_THREADS),
  };
  const plan = (role: string, port: number, own: Record<string, string>): RolePlan => ({
    role,
    program: `${options.root}/services/${role}/dist/main.js`,
    address: `${host}:${port}`,
    env: {
      ...common,
      ONEPASS_PORT: String(port),
      ...metricsPort(env.ONEPASS_METRICS_PORT, ports.indexOf(port)),
      ...own,
    },
  });
  return [
    plan('user-encoder', userEncoder, { ONEPASS_DATA_DIR: dataDir, ONEPASS_CELL_DIR: cellDir }),
    plan('ranking', ranking, { ONEPASS_CELL_DIR: cellDir }),
    plan('retrieval', retrieval, {}),
    plan('gateway', gateway, {
      ONEPASS_DATA_DIR: dataDir,
      ONEPASS_CELLS: `encoder=${host}:${userEncoder},ranking=${host}:${ranking}`,
      ONEPASS_RETRIEVAL: `${host}:${retrieval}`,
    }),
  ];
}

/** On one host each process needs a port of its own: consecutive ones, as the processes' own. */
function metricsPort(first: string | undefined, offset: number): Record<string, string> {
  const port = Number(first || 0);
  return port > 0 ? { ONEPASS_METRICS_PORT: String(port + offset) } : {};
}
