import { readFile } from 'node:fs/promises';
import { type DeviceModel, readDeviceModel } from '@onepass/device-trunk';
import { startupError } from '@onepass/errors';
import { createDeviceEngine, type DeviceEngine, endOnLostDevice } from '@onepass/inference';
import { TrunkBed } from '../bed.js';
import { PAGE } from '../bench-cases.js';
import type { DeviceGraphs } from '../graphs.js';
import type { BenchShape, DeviceChoice, Dtype } from '../options.js';
import { forkTask, type TaskEnd } from './fork-task.js';
import type { TaskName } from './task-name.js';

/** Which device; crosses processes. */
export interface DeviceTerms {
  readonly device: DeviceChoice;
  readonly libraries: string | undefined;
}

/** What checks are of. */
export interface CheckTerms extends DeviceTerms {
  readonly shape: BenchShape;
  /** Folders of device graphs of the shape, with every kind of attention. */
  readonly graphs: Readonly<Record<Dtype, string>>;
  /** File of float32 probabilities of some people, from the CPU; or why there is none. */
  readonly reference: { readonly file: string } | { readonly missing: string };
  /** Less of everything. */
  readonly smoke: boolean;
}

/** Of checks that need no more; two are enough to see one disturb another. */
export const LANES = 2;

/** Less than a check has, so that its check still says what it was. */
const TASK_LIMIT_MS = 80_000;

/** What checks of one process share: opened when first asked for, and once. */
export class CheckDesk {
  readonly terms: CheckTerms;
  readonly onCuda: boolean;
  readonly #engines: Promise<DeviceEngine>[] = [];
  readonly #kept = new Map<string, Promise<unknown>>();

  constructor(terms: CheckTerms) {
    this.terms = terms;
    this.onCuda = terms.device !== 'cpu';
  }

  /** @throws OnepassError `startup` */
  engine(): Promise<DeviceEngine> {
    return this.once('engine', () => this.openEngine(LANES));
  }

  /** One more, closed with the desk. @throws OnepassError `startup` */
  openEngine(lanes: number, spin = false): Promise<DeviceEngine> {
    const opening = openEngine(this.terms, lanes, spin);
    this.#engines.push(opening);
    return opening;
  }

  model(dtype: Dtype = this.terms.shape.dtype): Promise<DeviceModel> {
    return this.once(`model ${dtype}`, () => readDeviceModel(this.terms.graphs[dtype]));
  }

  async graphs(dtype: Dtype = this.terms.shape.dtype): Promise<DeviceGraphs> {
    return { folder: this.terms.graphs[dtype], description: await this.model(dtype) };
  }

  /** People of the shape. @throws OnepassError `startup` */
  bed(dtype: Dtype = this.terms.shape.dtype): Promise<TrunkBed> {
    return this.once(`bed ${dtype}`, async () =>
      TrunkBed.open(await this.engine(), await this.graphs(dtype), { ...this.terms.shape, ...PAGE }),
    );
  }

  /** @throws OnepassError `startup` with the reason why there is none */
  async reference(): Promise<Float32Array> {
    const { reference } = this.terms;
    if ('missing' in reference) throw startupError(reference.missing);
    const { buffer, byteOffset, byteLength } = await readFile(reference.file);
    return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  }

  /** What `make` gave the first time that it did. */
  once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(name);
    if (known !== undefined) return known as Promise<T>;
    const made = make();
    this.#kept.set(name, made);
    made.catch(() => this.#kept.delete(name));
    return made;
  }

  /** Runs a task of this program in a process of its own. @param env beside this process's */
  task<T>(task: TaskName, args: unknown = {}, env: Readonly<Record<string, string>> = {}): Promise<TaskEnd<T>> {
    return forkTask({ task, args, order: this.terms }, { program: process.argv[1]!, limitMs: TASK_LIMIT_MS, env });
  }

  async close(): Promise<void> {
    for (const opening of this.#engines) await (await opening.catch(() => undefined))?.close();
  }
}

/** Whose loss ends the process. @throws OnepassError `startup` */
export function openEngine({ device, libraries }: DeviceTerms, lanes: number, spin = false): Promise<DeviceEngine> {
  return createDeviceEngine({ device, lanes, threads: 1, libraryDirectory: libraries, spin, onLost: endOnLostDevice });
}
