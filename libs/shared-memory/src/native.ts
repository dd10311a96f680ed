import { createRequire } from 'node:module';
import koffi from 'koffi';

// koffi's settings are per process and closed by the first library load, so the lowest lib that loads one makes them for all:
// ONNX Runtime dies on the default 128 KiB stack of asynchronous calls.
koffi.config({ async_stack_size: 4 << 20 });

/** The one door to native libraries. Import koffi from here, never directly, or its settings come too late. */
export { koffi };

/** Its file, for threads that call functions by their addresses. */
export const koffiPath = createRequire(import.meta.url).resolve('koffi');

/** Symbols the process itself has loaded: libc, whatever it is called here. */
const loaded = koffi.load(null);
export const libc = {
  mmap: loaded.func('void* mmap(void* addr, size_t length, int prot, int flags, int fd, int64_t offset)') as (
    address: null,
    bytes: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => bigint,
  munmap: loaded.func('int munmap(void* addr, size_t length)') as (address: bigint, bytes: number) => number,
  /** Answers null where it cannot, the address of a handle elsewhere. */
  dlopen: loaded.func('void* dlopen(const char* path, int flags)') as (path: string, flags: number) => bigint | null,
  /** Ends the process at once: no handler runs, no thread is waited for. */
  exit: loaded.func('void _exit(int code)') as (code: number) => void,
  /** Addresses, for threads that call them. */
  memcpy: loaded.symbol('memcpy') as bigint,
  memset: loaded.symbol('memset') as bigint,
  fallocate: loaded.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as (
    fd: number,
    mode: number,
    offset: number,
    bytes: number,
  ) => number,
  posixFallocate: loaded.func('int posix_fallocate(int fd, int64_t offset, int64_t length)') as (
    fd: number,
    offset: number,
    bytes: number,
  ) => number,
};

export type LibraryHandle = ReturnType<typeof koffi.load>;

const RTLD_NOW = 2;
const RTLD_NODELETE = 0x1000;

/**
 * Loads a library for as long as the process lives. koffi unloads one when its handle is collected, and when Node ends: before what other libraries
 * do at exit, which may need it (ONNX Runtime's CUDA provider does: the process would die of a segmentation fault).
 * @throws Error of the loader
 */
export function loadLibrary(path: string): LibraryHandle {
  const library = koffi.load(path);
  libc.dlopen(path, RTLD_NOW | RTLD_NODELETE);
  return library;
}
