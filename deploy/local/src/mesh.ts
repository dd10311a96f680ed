import { accessSync, constants, mkdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startupError } from '@onepass/errors';
import { ROLE_COUNT } from './options.js';
import { planMesh, type RolePlan } from './plan.js';
import { freePorts, requireFreePorts } from './ports.js';
import { createRunDirectory } from './run-directory.js';
import { Supervisor, type SupervisorEvent } from './supervisor.js';

/** The repository's directory: this file is at deploy/local/{src,dist}. */
export const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

export interface MeshOptions {
  readonly releaseDir: string;
  /** First of four consecutive ports; undefined = any free ones. */
  readonly port: number | undefined;
  /** Where histories and logs are kept; undefined = a temporary directory, removed at the end. */
  readonly dataDir: string | undefined;
  readonly onEvent?: (event: SupervisorEvent) => void;
}

const HOST = '127.0.0.1';
const SHARED_MEMORY = '/dev/shm';
const POOL_ROOM_BYTES = 512 * 2 ** 20;

/** The four processes on this machine, in shared memory and on ports of their own. */
export class Mesh {
  readonly plans: readonly RolePlan[];
  readonly logDir: string;
  readonly #supervisor: Supervisor;
  readonly #runDirectories: readonly string[];

  /**
   * Takes ports and directories; starts nothing yet.
   * @throws OnepassError `startup` when a port is in use.
   */
  static async prepare(options: MeshOptions): Promise<Mesh> {
    const { port } = options;
    const ports =
      port === undefined ? await freePorts(HOST, ROLE_COUNT) : Array.from({ length: ROLE_COUNT }, (_, i) => port + i);
    if (port !== undefined) await requireFreePorts(HOST, ports);
    return new Mesh(options, ports as [number, number, number, number]);
  }

  private constructor(options: MeshOptions, ports: readonly [number, number, number, number]) {
    const temporary = options.dataDir === undefined ? createRunDirectory(tmpdir()) : undefined;
    const dataDir = options.dataDir ?? temporary ?? '';
    makeDataDirectory(dataDir);
    const cellDir = createRunDirectory(hasRoom(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir());
    this.#runDirectories = temporary === undefined ? [cellDir] : [cellDir, temporary];
    this.logDir = join(dataDir, 'logs');
    const { releaseDir } = options;
    this.plans = planMesh({ root: repositoryRoot, host: HOST, ports, releaseDir, dataDir, cellDir, env: process.env });
    this.#supervisor = new Supervisor({
      plans: this.plans,
      logDir: this.logDir,
      onEvent: options.onEvent ?? (() => {}),
    });
  }

  /** @throws OnepassError `startup` with one sentence; nothing is left running. */
  async start(): Promise<void> {
    try {
      await this.#supervisor.start();
    } catch (error) {
      this.#removeRunDirectories();
      throw error;
    }
  }

  /** Drains the gateway, then the stages, and removes what was temporary. */
  async stop(): Promise<void> {
    await this.#supervisor.stop();
    this.#removeRunDirectories();
  }

  kill(): void {
    this.#supervisor.kill();
    this.#removeRunDirectories();
  }

  pids(): Record<string, number> {
    return this.#supervisor.pids();
  }

  /** host:port of a role. */
  address(role: string): string {
    const plan = this.plans.find((p) => p.role === role);
    if (plan === undefined) throw new Error(`no role ${role}`);
    return plan.address;
  }

  #removeRunDirectories(): void {
    for (const path of this.#runDirectories) rmSync(path, { recursive: true, force: true });
  }
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
