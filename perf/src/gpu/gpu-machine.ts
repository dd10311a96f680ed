import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import type { DeviceEngine } from '@onepass/inference';
import { describeMachine, type Machine } from '../machine.js';

/** Where device figures were measured. */
export interface GpuMachine extends Machine {
  readonly device: string;
  /** Name of the GPU; of the CPU where there is none. */
  readonly name: string;
  readonly reason: string;
  readonly totalGiB: number;
  readonly driver: string | undefined;
  readonly onnxruntime: string;
  readonly torch?: string | undefined;
  readonly torchCuda?: string | undefined;
}

/** Without PyTorch, which tells of itself. */
export async function describeGpuMachine(engine: DeviceEngine): Promise<GpuMachine> {
  const machine = describeMachine();
  const gpu = engine.device === 'cpu' ? undefined : await askDriver(engine.device.slice('cuda:'.length));
  const require = createRequire(import.meta.resolve('@onepass/inference'));
  return {
    ...machine,
    device: engine.device,
    name: gpu?.name ?? (engine.device === 'cpu' ? machine.cpu : engine.device),
    reason: engine.reason,
    totalGiB: engine.memory().totalBytes / 2 ** 30,
    driver: gpu?.driver,
    onnxruntime: (require('onnxruntime-node/package.json') as { version: string }).version,
  };
}

/** Name of the GPU and version of its driver; undefined where nvidia-smi does not say. */
async function askDriver(index: string): Promise<{ readonly name: string; readonly driver: string } | undefined> {
  const query = ['--query-gpu=name,driver_version', '--format=csv,noheader', '-i', index];
  const said = await promisify(execFile)('nvidia-smi', query, { timeout: 20_000 }).catch(() => undefined);
  const [name, driver] = said?.stdout.trim().split(/,\s*/) ?? [];
  return name && driver ? { name, driver } : undefined;
}

/** In one line, for tables and pictures. */
export function describeWhere(machine: GpuMachine): string {
  const { name, driver, cores, cpu, onnxruntime, torch, torchCuda, node } = machine;
  const gpu = driver === undefined ? `${cpu}, ${cores} cores` : `${name}, driver ${driver} (${cpu}, ${cores} cores)`;
  const pytorch = torch === undefined ? 'no PyTorch' : `PyTorch ${torch}${torchCuda ? ` (CUDA ${torchCuda})` : ''}`;
  return `${gpu}; ONNX Runtime ${onnxruntime}, ${pytorch}, Node ${node}`;
}
