import { closeSync, fstatSync, openSync, rmSync } from 'node:fs';
import { startupError, unavailable } from '@onepass/errors';
import { koffi, libc } from './native.js';

/**
 * Memory outside JavaScript's heap, at an address that no collector moves or frees: typed arrays over `buffer` can be handed to
 * native calls and, for a file, are the same bytes in every process that maps it.
 *
 * `Atomics` work on `buffer`, `Atomics.wait` does not. Each thread and process maps for itself.
 */
export interface SharedMemory {
  readonly bytes: number;
  readonly buffer: ArrayBuffer;
  /**
   * Unmaps. Nothing may use `buffer`, a view on it or a tensor over it afterwards: such an access ends the process (Node 20 cannot
   * detach mapped buffers). Whoever closes must have seen the last run over it return. A second close does nothing; without a
   * close the mapping lives as long as the process.
   */
  close(): void;
}

// Linux, the same on x86-64 and arm64.
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/**
 * A new file of `bytes` zeros at `path`, every page reserved before it is mapped: memory that is short is an error here, never a
 * SIGBUS later. A file that was there is replaced, not rewritten, so processes that still map the old one keep what they have.
 * @throws OnepassError `startup`: one sentence with the path and the size wanted.
 */
export function createSharedMemory(path: string, bytes: number): SharedMemory {
  requireSize(bytes);
  let fd: number;
  try {
    rmSync(path, { force: true });
    fd = openSync(path, 'wx+', 0o600);
  } catch (error) {
    throw startupError(`cannot create shared memory "${path}" of ${size(bytes)}: ${reason(error)}`, error);
  }
  try {
    reserve(fd, path, bytes);
    return map(bytes, { protection: PROT_READ_WRITE, flags: MAP_SHARED, fd, what: `shared memory "${path}"` });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * What another process created at `path`, to be read only: a write to it ends this process.
 * @throws OnepassError `unavailable` when it is not there, or has no size yet.
 */
export function openSharedMemory(path: string): SharedMemory {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw unavailable(`shared memory "${path}" cannot be opened: ${reason(error)}`, error);
  }
  try {
    const bytes = fstatSync(fd).size;
    if (bytes === 0) throw unavailable(`shared memory "${path}" is not ready: it has no size yet`);
    return map(bytes, { protection: PROT_READ, flags: MAP_SHARED, fd, what: `shared memory "${path}"` });
  } finally {
    closeSync(fd);
  }
}

/** `bytes` zeros for this process alone. @throws OnepassError `startup` when the kernel refuses. */
export function allocateMapped(bytes: number): SharedMemory {
  requireSize(bytes);
  return map(bytes, { protection: PROT_READ_WRITE, flags: MAP_PRIVATE_ANONYMOUS, fd: -1, what: 'memory' });
}

/** The fake for tests of code that needs no native address: the same interface over JavaScript's heap. */
export function heapMemory(bytes: number): SharedMemory {
  return { bytes, buffer: new ArrayBuffer(bytes), close() {} };
}

function reserve(fd: number, path: string, bytes: number): void {
  let code: number;
  do code = libc.posixFallocate(fd, 0, bytes);
  while (code === koffi.os.errno.EINTR);
  if (code !== 0) throw startupError(`cannot reserve ${size(bytes)} of shared memory at "${path}": ${errorName(code)}`);
}

interface Mapping {
  readonly protection: number;
  readonly flags: number;
  readonly fd: number;
  readonly what: string;
}

function map(bytes: number, { protection, flags, fd, what }: Mapping): SharedMemory {
  const address = libc.mmap(null, bytes, protection, flags, fd, 0);
  if (address === MAP_FAILED) throw startupError(`cannot map ${size(bytes)} of ${what}: ${errorName(koffi.errno())}`);
  let open = true;
  return {
    bytes,
    buffer: koffi.view(address, bytes),
    close() {
      if (open) libc.munmap(address, bytes);
      open = false;
    },
  };
}

function requireSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw startupError(`shared memory of ${bytes} bytes cannot be made`);
}

function size(bytes: number): string {
  return bytes < 1 << 20 ? `${bytes} bytes` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

const SENTENCES: Readonly<Record<string, string>> = {
  ENOSPC: 'not enough space is left there (ENOSPC)',
  ENOENT: 'its directory does not exist (ENOENT)',
  EACCES: 'permission denied (EACCES)',
  ENOMEM: 'not enough memory (ENOMEM)',
};

function errorName(code: number): string {
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === code)?.[0] ?? `error ${code}`;
  return SENTENCES[name] ?? name;
}

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return SENTENCES[code] ?? (code || String(error));
}
