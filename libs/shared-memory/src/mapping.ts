import { startupError } from '@onepass/errors';
import { koffi, libc } from './native.js';

// Linux, the same on x86-64 and arm64.
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** A range of addresses of this process. */
export interface Mapping {
  readonly bytes: number;
  /**
   * A part of it, in place; the same buffer whenever the same begin is asked for. One buffer over all of it would not do: Node 20 ends the process
   * on buffers of more than 4 GiB.
   */
  view(at: number, bytes: number): ArrayBuffer;
  unmap(): void;
}

/** @param fd of the file; the mapping stays when it is closed. @throws OnepassError `startup` when the kernel refuses. */
export function mapFile(fd: number, bytes: number, { writable, what }: { writable: boolean; what: string }): Mapping {
  return map(bytes, { protection: writable ? PROT_READ_WRITE : PROT_READ, flags: MAP_SHARED, fd, what });
}

/** Zeros for this process alone. @throws OnepassError `startup` when the kernel refuses. */
export function mapAnonymous(bytes: number): Mapping {
  requireSize(bytes);
  return map(bytes, { protection: PROT_READ_WRITE, flags: MAP_PRIVATE_ANONYMOUS, fd: -1, what: 'memory' });
}

interface MapTerms {
  readonly protection: number;
  readonly flags: number;
  readonly fd: number;
  readonly what: string;
}

function map(bytes: number, { protection, flags, fd, what }: MapTerms): Mapping {
  const address = libc.mmap(null, bytes, protection, flags, fd, 0);
  if (address === MAP_FAILED) throw startupError(`cannot map ${sizeOf(bytes)} of ${what}: ${errorName(koffi.errno())}`);
  const views = new Map<number, ArrayBuffer>();
  let open = true;
  return {
    bytes,
    view(at, count) {
      if (at < 0 || at + count > bytes) throw new RangeError(`bytes ${at} to ${at + count} of ${bytes}`);
      const known = views.get(at);
      if (known?.byteLength === count) return known;
      const made = koffi.view(address + BigInt(at), count);
      views.set(at, made);
      return made;
    },
    unmap() {
      if (open) libc.munmap(address, bytes);
      open = false;
    },
  };
}

export function requireSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw startupError(`shared memory of ${bytes} bytes cannot be made`);
}

export function sizeOf(bytes: number): string {
  return bytes < 1 << 20 ? `${bytes} bytes` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

const SENTENCES: Readonly<Record<string, string>> = {
  ENOSPC: 'not enough space is left there (ENOSPC)',
  ENOENT: 'its directory does not exist (ENOENT)',
  EACCES: 'permission denied (EACCES)',
  ENOMEM: 'not enough memory (ENOMEM)',
};

/** Of a number that the kernel answered. */
export function errorName(code: number): string {
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === code)?.[0] ?? `error ${code}`;
  return SENTENCES[name] ?? name;
}

/** Of what Node threw. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return SENTENCES[code] ?? (code || String(error));
}
