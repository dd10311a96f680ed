import { accessSync, constants, mkdirSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ClientTls } from '@onepass/client';
import { isServing, type Transport, transportOf } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { type CellLine, formatCell } from '@onepass/routing';
import { type MeshShape, planCells, planMesh, processNames, type ServicePlan } from './plan.js';
import { freePorts, requireFreePorts } from './ports.js';
import { createRunDirectory } from './run-directory.js';
import { Supervisor, type SupervisorEvent } from './supervisor.js';

/** The repository's directory: this file is at deploy/local/{src,dist}. */
export const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

export interface MeshOptions extends MeshShape {
  readonly releaseDir: string;
  /** First of as many consecutive ports as there are processes; undefined = any free ones. */
  readonly port: number | undefined;
  /** Where histories and logs are kept; undefined = a temporary directory, removed at the end. */
  readonly dataDir: string | undefined;
  /** Where the gateway's list of cells is written, for whoever wants to drain one; absent = beside what lies in shared memory. */
  readonly cellsFile?: string | undefined;
  readonly onEvent?: (event: SupervisorEvent) => void;
  /** For every process, in the place of the environment's. */
  readonly settings?: Readonly<Record<string, string>>;
  /** By service, or by process where that has a name of its own, settings beside those of the mesh; read at every start of a process. */
  readonly overrides?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Wait before restart number n; absent = as `npm start` waits. */
  readonly backOff?: (attempt: number) => number;
}

const HOST = '127.0.0.1';
const CELLS_HEADER = `# The cells of this mesh, written when it started. The gateway reads this file four times a second: with state=draining in the place of
# state=serving a cell gets nobody; without its line, or with # before it, it is gone for the gateway.
`;
const CHECK_TIMEOUT_MS = 1_000;
/** A GPU captures its runs one by one before it serves. */
const DEVICE_START_MS = 300_000;
const SHARED_MEMORY = '/dev/shm';
const POOL_ROOM_BYTES = 512 * 2 ** 20;

/** The processes on this machine, in shared memory and on ports of their own. */
export class Mesh {
  readonly plans: readonly ServicePlan[];
  readonly logDir: string;
  /** All, as they are written at first. */
  readonly cells: readonly CellLine[];
  /** The file of them that the gateway watches. */
  readonly cellsFile: string;
  /** As the gateway calls the other processes. */
  readonly transport: Transport;
  /** The files of it; undefined = plaintext. */
  readonly tls: ClientTls | undefined;
  readonly #supervisor: Supervisor;
  readonly #runDirectories: readonly string[];

  /**
   * Takes ports and directories; starts nothing yet.
   * @throws OnepassError `startup` when a port is in use.
   */
  static async prepare(options: MeshOptions): Promise<Mesh> {
    const { port } = options;
    const { length: count } = processNames(options);
    const ports = port === undefined ? await freePorts(HOST, count) : Array.from({ length: count }, (_, i) => port + i);
    if (port !== undefined) await requireFreePorts(HOST, ports);
    return new Mesh(options, ports);
  }

  private constructor(options: MeshOptions, ports: readonly number[]) {
    const gatewayEnv = { ...process.env, ...options.settings, ...options.overrides?.gateway };
    this.transport = transportOf({ ...gatewayEnv, ONEPASS_HOST: HOST });
    this.tls = tlsOf(gatewayEnv);
    const temporary = options.dataDir === undefined ? createRunDirectory(tmpdir()) : undefined;
    const dataDir = options.dataDir ?? temporary ?? '';
    makeDataDirectory(dataDir);
    const cellDir = createRunDirectory(hasRoom(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir());
    this.#runDirectories = temporary === undefined ? [cellDir] : [cellDir, temporary];
    this.logDir = join(dataDir, 'logs');
    const { releaseDir, cells, rankingEncoder, deviceGraphs, settings, overrides, backOff } = options;
    this.cellsFile = options.cellsFile ?? join(cellDir, 'cells');
    const own = { host: HOST, ports, releaseDir, dataDir, cellDir, cellsFile: this.cellsFile };
    const shape = { cells, rankingEncoder, deviceGraphs };
    const planned = { root: repositoryRoot, ...own, ...shape, env: process.env, settings };
    this.plans = planMesh(planned).map((plan) => ({
      ...plan,
      get overrides() {
        return { ...overrides?.[plan.service], ...overrides?.[plan.role] };
      },
    }));
    this.cells = planCells(planned);
    this.writeCells(this.cells);
    this.#supervisor = new Supervisor({
      check: (address) => isServing(address, CHECK_TIMEOUT_MS, this.transport),
      plans: this.plans,
      logDir: this.logDir,
      onEvent: options.onEvent ?? (() => {}),
      ...(backOff && { backOff }),
      ...(deviceGraphs !== undefined && { startTimeoutMs: DEVICE_START_MS }),
    });
  }

  /** @throws OnepassError `startup` with one sentence; nothing is left running. */
  async start(): Promise<void> {
    try {
      await this.#supervisor.start();
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** Drains the gateway, then the stages, and removes what was temporary. */
  async stop(): Promise<void> {
    await this.#supervisor.stop();
    this.#end();
  }

  kill(): void {
    this.#supervisor.kill();
    this.#end();
  }

  pids(): Record<string, number> {
    return this.#supervisor.pids();
  }

  /** Tells the gateway of other cells, or of other states: it looks four times a second. */
  writeCells(cells: readonly CellLine[]): void {
    const text = `${CELLS_HEADER}${cells.map((cell) => `${formatCell(cell)}\n`).join('')}`;
    writeFileSync(`${this.cellsFile}.new`, text);
    renameSync(`${this.cellsFile}.new`, this.cellsFile);
  }

  /** host:port of a role, as the plans name it. */
  address(role: string): string {
    const plan = this.plans.find((p) => p.role === role);
    if (plan === undefined) throw new Error(`no role ${role}`);
    return plan.address;
  }

  #end(): void {
    this.transport.close();
    for (const path of this.#runDirectories) rmSync(path, { recursive: true, force: true });
  }
}

function tlsOf(env: Readonly<Record<string, string | undefined>>): ClientTls | undefined {
  const { ONEPASS_TLS_CA: ca, ONEPASS_TLS_CERT: cert, ONEPASS_TLS_KEY: key, ONEPASS_TLS_SERVER_NAME: serverName } = env;
  return ca && cert && key ? { ca, cert, key, ...(serverName && { serverName }) } : undefined;
}

/** Whether the KV pool may go there. Containers often give /dev/shm no more than 64 MiB; a file elsewhere is mapped just as well. */
function hasRoom(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize >= POOL_ROOM_BYTES;
  } catch {
    return false;
  }
}

function makeDataDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw startupError(`the data directory ${path} cannot be written: ${(error as Error).message}`, error);
  }
}
