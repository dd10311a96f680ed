/** One process of the mesh, before it is started. */
export interface RolePlan {
  /** What the mesh calls it: the role, or of a second process of one, a name of its own. */
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
  /** gateway, user-encoder, retrieval, ranking; then that of a second user-encoder, whose KV ranking reads, where there is to be one. */
  readonly ports: readonly [number, number, number, number, number?];
  readonly releaseDir: string;
  readonly dataDir: string;
  readonly cellDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For every process, in the place of the environment's. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** Threads of libuv's pool that stay free for files, DNS and LMDB while every graph run in flight holds one. */
const SPARE_THREADS = 4;
const DEFAULT_IN_FLIGHT = 2;

/** The mesh's name of a second user-encoder, that of a ranking model of its own. */
export const RANKING_ENCODER = 'ranking-encoder';

/** The processes, in the order in which they are started; they stop in reverse. */
export function planMesh(options: MeshPlanOptions): RolePlan[] {
  const { host, ports, releaseDir, dataDir, cellDir, settings } = options;
  const env = { ...options.env, ...settings };
  const [gateway, userEncoder, retrieval, ranking, rankingEncoder] = ports;
  const inFlight = Number(env.ONEPASS_INFERENCE_IN_FLIGHT || DEFAULT_IN_FLIGHT);
  const common = {
    ...settings,
    ONEPASS_MODE: env.ONEPASS_MODE || 'development',
    ONEPASS_HOST: host,
    ONEPASS_RELEASE_DIR: releaseDir,
    // A value that is not a number is left for the service to refuse in its own words.
    UV_THREADPOOL_SIZE: String((Number.isFinite(inFlight) ? inFlight : DEFAULT_IN_FLIGHT) + SPARE_THREADS),
  };
  const plan = (role: string, port: number, own: Record<string, string>, program = role): RolePlan => ({
    role,
    program: `${options.root}/services/${program}/dist/main.js`,
    address: `${host}:${port}`,
    env: {
      ...common,
      ONEPASS_PORT: String(port),
      ...metricsPort(env.ONEPASS_METRICS_PORT, ports.indexOf(port)),
      ...own,
    },
  });
  const encoder = (kvDir: string) => ({ ONEPASS_DATA_DIR: dataDir, ONEPASS_CELL_DIR: kvDir });
  const apart = rankingEncoder === undefined ? undefined : { port: rankingEncoder, kvDir: `${cellDir}/ranking` };
  return [
    plan('user-encoder', userEncoder, encoder(cellDir)),
    ...(apart ? [plan(RANKING_ENCODER, apart.port, encoder(apart.kvDir), 'user-encoder')] : []),
    plan('ranking', ranking, { ONEPASS_CELL_DIR: apart?.kvDir ?? cellDir }),
    plan('retrieval', retrieval, {}),
    plan('gateway', gateway, {
      ONEPASS_DATA_DIR: dataDir,
      ONEPASS_CELLS: [
        `encoder=${host}:${userEncoder},ranking=${host}:${ranking}`,
        ...(apart ? [`ranking-encoder=${host}:${apart.port}`] : []),
      ].join(),
      ONEPASS_RETRIEVAL: `${host}:${retrieval}`,
    }),
  ];
}

/** On one host each process needs a port of its own: consecutive ones, as the processes' own. */
function metricsPort(first: string | undefined, offset: number): Record<string, string> {
  const port = Number(first || 0);
  return port > 0 ? { ONEPASS_METRICS_PORT: String(port + offset) } : {};
}
