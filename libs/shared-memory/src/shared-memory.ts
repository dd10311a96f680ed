import { closeSync, fstatSync, ftruncateSync, openSync, rmSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { startupError, unavailable } from '@onepass/errors';
import { errorName, mapAnonymous, mapFile, reasonOf, requireSize, sizeOf } from './mapping.js';
import { koffi, libc } from './native.js';

/**
 * A file that several processes map: the same bytes in all of them, at addresses that no collector moves or frees. `Atomics` work on its views,
 * `Atomics.wait` does not. Each thread and process maps for itself.
 */
export interface SharedMemory {
  readonly bytes: number;
  /** A part of it, in place; at most 4 GiB at a time. */
  view(at: number, bytes: number): ArrayBuffer;
  /** Unmaps; as `MappedMemory.close`. */
  close(): void;
}

/** As its writer has it. All of it has addresses, and what is reserved has pages behind it too. */
export interface SparseMemory extends SharedMemory {
  /**
   * Puts pages behind these bytes, so that no write to them can end the process; zeros where there were none, else what is there stays.
   * @returns false: there is no space, and nothing has changed that anybody could see
   */
  reserve(at: number, bytes: number): boolean;
  /** Gives the whole pages among these bytes back: they read as zeros in every process from now on. */
  discard(at: number, bytes: number): void;
}

const FALLOCATE_PUNCH_HOLE_KEEP_SIZE = 3;

/**
 * A new file at `path` with room for `bytes`, none of it reserved. Where less than `wanted` is free there, it is not made. A file that was there is
 * replaced, not rewritten, so processes that still map the old one keep what they have.
 * @param wanted bytes that will be reserved at one time, at most
 * @throws OnepassError `startup`: one sentence with the path and the size wanted.
 */
export function createSharedMemory(path: string, bytes: number, wanted = bytes): SparseMemory {
  requireSize(bytes);
  let fd: number;
  try {
    rmSync(path, { force: true });
    requireSpace(path, wanted);
    fd = openSync(path, 'wx+', 0o600);
  } catch (error) {
    throw startupError(`cannot create shared memory "${path}" of ${sizeOf(wanted)}: ${reasonOf(error)}`, error);
  }
  try {
    ftruncateSync(fd, bytes);
    return sparse(mapFile(fd, bytes, { writable: true, what: `shared memory "${path}"` }), fd);
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
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
    throw unavailable(`shared memory "${path}" cannot be opened: ${reasonOf(error)}`, error);
  }
  try {
    const bytes = fstatSync(fd).size;
    if (bytes === 0) throw unavailable(`shared memory "${path}" is not ready: it has no size yet`);
    const { view, unmap } = mapFile(fd, bytes, { writable: false, what: `shared memory "${path}"` });
    return { bytes, view, close: unmap };
  } finally {
    closeSync(fd);
  }
}

/** The same interface over memory of this process alone, for tests and simulations; all of it is always there. */
export function unsharedMemory(bytes: number): SparseMemory {
  const { view, unmap } = mapAnonymous(bytes);
  const discard = (at: number, count: number) => void new Uint8Array(view(at, count)).fill(0);
  return { bytes, view, reserve: () => true, discard, close: unmap };
}

function sparse({ bytes, view, unmap }: ReturnType<typeof mapFile>, fd: number): SparseMemory {
  let open = true;
  return {
    bytes,
    view,
    reserve: (at, count) => {
      let code: number;
      do code = libc.posixFallocate(fd, at, count);
      while (code === koffi.os.errno.EINTR);
      return code === 0;
    },
    discard(at, count) {
      if (libc.fallocate(fd, FALLOCATE_PUNCH_HOLE_KEEP_SIZE, at, count) === 0) return;
      // A file system that knows no holes keeps its pages.
      new Uint8Array(view(at, count)).fill(0);
    },
    close() {
      if (open) closeSync(fd);
      open = false;
      unmap();
    },
  };
}

function requireSpace(path: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize < bytes) throw Object.assign(new Error(errorName(koffi.os.errno.ENOSPC!)), { code: 'ENOSPC' });
}
