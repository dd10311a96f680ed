import { freemem, totalmem } from 'node:os';
import { allocateMapped, koffi, libc, type MappedMemory } from '@onepass/shared-memory';
import type { Address, OnnxRuntime } from '../onnxruntime.js';
import { makeSessionOptions } from '../session-options.js';
import { type Driver, MOST_HOST_BYTES } from './driver.js';

/** The CPU as a device: its memory is mapped memory of this process, and what the host fills the graph reads in place. */
export function cpuDriver(runtime: OnnxRuntime, threads: number): Driver {
  const mapped = new Map<Address, MappedMemory>();
  const map = (bytes: number): { address: Address; memory: MappedMemory } => {
    if (bytes > MOST_HOST_BYTES)
      throw new Error(`out of memory: one buffer has at most ${MOST_HOST_BYTES} bytes on the CPU`);
    const memory = allocateMapped(Math.max(bytes, 1));
    const address = koffi.address(new Uint8Array(memory.buffer));
    mapped.set(address, memory);
    return { address, memory };
  };
  const free = (address: Address): void => {
    mapped.get(address)?.close();
    mapped.delete(address);
  };
  return {
    name: 'cpu',
    memoryInfo: runtime.cpuMemory,
    ownMemory: false,
    sharedSessions: true,
    runConfig: () => ({}),
    memory: () => ({ freeBytes: freemem(), totalBytes: totalmem() }),
    allocate: (bytes) => map(bytes).address,
    free,
    openLane: () => ({
      start: [],
      finish: [],
      sessionOptions: () => makeSessionOptions(runtime, threads),
      pair: (bytes) => {
        const { address, memory } = map(bytes);
        const same = { host: memory.buffer, hostAddress: address, device: address };
        return { ...same, copyIn: [], copyOut: [], close: () => free(address) };
      },
      copy: (_, to, from, bytes) => ({ call: libc.memcpy, signature: 'vppz', args: [to, from, bytes] }),
      zero: (address, bytes) => ({ call: libc.memset, signature: 'vpiz', args: [address, 0, bytes] }),
      close: () => {},
    }),
    describe: (code) => `error ${code}`,
    close: () => {
      for (const address of mapped.keys()) free(address);
    },
  };
}
