import type { CellLine } from '@onepass/routing';

/** One process of the mesh, before it is started. */
export interface RolePlan {
  /** What the mesh calls it: its service, or of a further process of that, a name of its own. */
  readonly role: string;
  /** The program that node runs. */
  readonly program: string;
  /** host:port that it will listen on. */
  readonly address: string;
  /** Added to the supervisor's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Added to that; read at every start of the role, so that it may start otherwise than before. */
  readonly overrides?: Readonly<Record<string, string>> | undefined;
  /** Started once all others serve that need not wait. */
  readonly waits?: boolean | undefined;
}

/** A process of one of the services. */
export interface ServicePlan extends RolePlan {
  /** Its folder in services/. */
  readonly service: string;
}

/** How many processes of what there are. */
export interface MeshShape {
  /** Cells of this release: each has a user-encoder and a ranking of its own. Absent: one. */
  readonly cells?: number | undefined;
  /** In each cell a second user-encoder, whose KV ranking reads, as if ranking had a model of its own. */
  readonly rankingEncoder?: boolean | undefined;
  /** Directory of device graphs: user-encoder and ranking of each cell are one process, over one trunk on a device. Absent: two that share memory. */
  readonly deviceGraphs?: string | undefined;
}

export interface MeshPlanOptions extends MeshShape {
  /** The repository's directory. */
  readonly root: string;
  readonly host: string;
  /** As many as `processNames` has, in that order. */
  readonly ports: readonly number[];
  readonly releaseDir: string;
  readonly dataDir: string;
  readonly cellDir: string;
  /** From which the gateway learns of the cells. */
  readonly cellsFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For every process, in the place of the environment's. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

/** Threads of libuv's pool that stay free for files, DNS and LMDB while every graph run in flight holds one. */
const SPARE_THREADS = 4;
const DEFAULT_IN_FLIGHT = 2;

/** What the mesh calls a cell, and its processes. */
interface CellNames {
  readonly name: string;
  /** The process of both roles, where they are one. */
  readonly both: string;
  readonly encoder: string;
  readonly ranking: string;
  readonly rankingEncoder: string | undefined;
}

/** Of the first cell the names of the roles, of the others those with the cell's number behind. */
function cellNames({ cells = 1, rankingEncoder = false }: MeshShape): CellNames[] {
  return Array.from({ length: cells }, (_, cell) => {
    const behind = cell === 0 ? '' : `-${cell + 1}`;
    return {
      name: `cell-${cell + 1}`,
      both: `device-cell${behind}`,
      encoder: `user-encoder${behind}`,
      ranking: `ranking${behind}`,
      rankingEncoder: rankingEncoder ? `ranking-encoder${behind}` : undefined,
    };
  });
}

/** What the mesh calls its processes, in the order of their ports. */
export function processNames(shape: MeshShape): string[] {
  const cells = cellNames(shape).flatMap(({ encoder, ranking, rankingEncoder = [] }) =>
    [encoder, ranking, rankingEncoder].flat(),
  );
  return [...new Set(['gateway', 'user-encoder', 'retrieval', 'ranking', ...cells])];
}

/** The cells as the gateway is to know them: all serve. */
export function planCells(options: MeshPlanOptions): CellLine[] {
  const { address } = planner(options);
  return cellNames(options).map(({ name, encoder, ranking, rankingEncoder }) => ({
    name,
    encoder: address(encoder),
    ranking: address(ranking),
    ...(rankingEncoder !== undefined && { rankingEncoder: address(rankingEncoder) }),
    state: 'serving',
  }));
}

/** The processes, in the order in which they are started; they stop in reverse. */
export function planMesh(options: MeshPlanOptions): ServicePlan[] {
  const { dataDir, deviceGraphs } = options;
  const { plan, both, address } = planner(options);
  const cells = cellNames(options);
  return [
    ...cells.flatMap((names, cell) => {
      if (deviceGraphs !== undefined)
        return [both(names, { ONEPASS_DATA_DIR: dataDir, ONEPASS_DEVICE_GRAPHS: deviceGraphs })];
      const cellDir = cell === 0 ? options.cellDir : `${options.cellDir}/${cell + 1}`;
      return planCell(names, { dataDir, cellDir }, plan);
    }),
    plan('retrieval', 'retrieval', {}),
    {
      ...plan('gateway', 'gateway', {
        ONEPASS_DATA_DIR: dataDir,
        ONEPASS_CELLS_FILE: options.cellsFile,
        ONEPASS_RETRIEVAL: address('retrieval'),
      }),
      // A device cell takes seconds to be ready, for which a gateway would take it to be away.
      waits: deviceGraphs !== undefined,
    },
  ];
}

type Plan = (role: string, service: string, own: Readonly<Record<string, string>>) => ServicePlan;

function planCell(
  { encoder, ranking, rankingEncoder }: CellNames,
  { dataDir, cellDir }: Pick<MeshPlanOptions, 'dataDir' | 'cellDir'>,
  plan: Plan,
): ServicePlan[] {
  const encoderPlan = (role: string, kvDir: string) =>
    plan(role, 'user-encoder', { ONEPASS_DATA_DIR: dataDir, ONEPASS_CELL_DIR: kvDir });
  const rankedDir = rankingEncoder === undefined ? cellDir : `${cellDir}/ranking`;
  return [
    encoderPlan(encoder, cellDir),
    ...(rankingEncoder === undefined ? [] : [encoderPlan(rankingEncoder, rankedDir)]),
    plan(ranking, 'ranking', { ONEPASS_CELL_DIR: rankedDir }),
  ];
}

/** Plans of processes by their names, with what all have. */
function planner(options: MeshPlanOptions): {
  plan: Plan;
  /** Of a cell whose roles are one process, with a port for each as if they were two. */
  both: (names: CellNames, own: Readonly<Record<string, string>>) => ServicePlan;
  address: (role: string) => string;
} {
  const { host, ports, releaseDir, settings } = options;
  const env = { ...options.env, ...settings };
  const inFlight = Number(env.ONEPASS_INFERENCE_IN_FLIGHT || DEFAULT_IN_FLIGHT);
  const common = {
    ...settings,
    ONEPASS_MODE: env.ONEPASS_MODE || 'development',
    ONEPASS_HOST: host,
    ONEPASS_RELEASE_DIR: releaseDir,
    // A value that is not a number is left for the service to refuse in its own words.
    UV_THREADPOOL_SIZE: String((Number.isFinite(inFlight) ? inFlight : DEFAULT_IN_FLIGHT) + SPARE_THREADS),
  };
  const names = processNames(options);
  const portOf = (role: string) => ports[names.indexOf(role)];
  const address = (role: string) => `${host}:${portOf(role)}`;
  const metrics = (role: string, setting?: string) =>
    metricsPort(env.ONEPASS_METRICS_PORT, names.indexOf(role), setting);
  const planAt = (port: string, role: string, service: string, own: Readonly<Record<string, string>>) => ({
    role,
    service,
    program: `${options.root}/services/${service}/dist/main.js`,
    address: address(port),
    env: { ...common, ONEPASS_PORT: String(portOf(port)), ...metrics(port), ...own },
  });
  const plan: Plan = (role, service, own) => planAt(role, role, service, own);
  const both = ({ both: role, encoder, ranking }: CellNames, own: Readonly<Record<string, string>>) =>
    planAt(encoder, role, 'device-cell', {
      ONEPASS_RANKING_PORT: String(portOf(ranking)),
      ...metrics(ranking, 'ONEPASS_RANKING_METRICS_PORT'),
      ...own,
    });
  return { plan, both, address };
}

/** On one host each process needs a port of its own: consecutive ones, as the processes' own. */
function metricsPort(
  first: string | undefined,
  offset: number,
  setting = 'ONEPASS_METRICS_PORT',
): Record<string, string> {
  const port = Number(first || 0);
  return port > 0 ? { [setting]: String(port + offset) } : {};
}
