import { OnepassError, overloaded, unavailable } from '@onepass/errors';
import { graphDefect } from '../tensors.js';

/** What a failure of the device means for those who use it. */
export type FaultKind = 'lost' | 'memory' | 'other';

/**
 * cudaError_t after which nothing runs in this process any more, whoever asks: devices gone or unavailable (46, 100, 101), ECC and NVLink errors (214, 220, 226),
 * a destroyed context (709), illegal addresses, instructions, program counters and assertions in kernels (700, 710, 714..719), timeouts (702), broken hardware or driver (719, 721, 999).
 */
const LOST = new Set([46, 100, 101, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999]);
const OUT_OF_MEMORY = 2;

/** ONNX Runtime's sentences name the code as `CUDA failure 700: ...`; cuBLAS and cuDNN have names for theirs. */
const CUDA_FAILURE = /\bCUDA(?: failure| error)? (\d+)\b/i;
const LOST_WORDS =
  /illegal memory access|unspecified launch failure|device-side assert|uncorrectable ECC|hardware stack error|CUBLAS_STATUS_(?:MAPPING_ERROR|EXECUTION_FAILED)|CUDNN_STATUS_EXECUTION_FAILED/i;
const MEMORY_WORDS =
  /out of memory|Failed to allocate memory|smaller than requested bytes|std::bad_alloc|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|ENOMEM/i;

export function faultOfCode(code: number): FaultKind {
  if (LOST.has(code)) return 'lost';
  return code === OUT_OF_MEMORY ? 'memory' : 'other';
}

/** @param message of ONNX Runtime or of the CUDA runtime */
export function faultOfMessage(message: string): FaultKind {
  const code = CUDA_FAILURE.exec(message)?.[1];
  if (code !== undefined && faultOfCode(Number(code)) !== 'other') return faultOfCode(Number(code));
  if (LOST_WORDS.test(message)) return 'lost';
  return MEMORY_WORDS.test(message) ? 'memory' : 'other';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a native call failed with, and what that means. */
export class DeviceFault extends Error {
  readonly kind: FaultKind;

  constructor(message: string, kind = faultOfMessage(message)) {
    super(message);
    this.kind = kind;
  }
}

/** Whether something was not to be had for want of the device's memory. @param error of `allocate` or `prepare` */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof OnepassError && error.cause instanceof DeviceFault && error.cause.kind === 'memory';
}

/** When a run that found no memory may be tried again: others of its size end by then. */
const RETRY_MS = 100;

/** What is known of one device's failures. */
export class DeviceFaults {
  readonly #device: string;
  readonly #onLost: (error: OnepassError) => void;
  #lost: OnepassError | undefined;

  /** @param onLost called once */
  constructor(device: string, onLost: (error: OnepassError) => void) {
    this.#device = device;
    this.#onLost = onLost;
  }

  /** @throws OnepassError `unavailable` when the device is lost */
  requireDevice(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** What was thrown, as a fault; a lost device is told at once. */
  noticed(thrown: unknown): DeviceFault {
    const fault = thrown instanceof DeviceFault ? thrown : new DeviceFault(messageOf(thrown));
    if (fault.kind === 'lost' && this.#lost === undefined) {
      this.#lost = unavailable(`the device ${this.#device} is lost`, fault);
      this.#onLost(this.#lost);
    }
    return fault;
  }

  /** What a run's caller is told: `unavailable` of a lost device, `overloaded` where there was no memory for this run, else `internal`. */
  runError(graph: string, thrown: unknown): OnepassError {
    if (thrown instanceof OnepassError) return thrown;
    const fault = this.noticed(thrown);
    if (fault.kind === 'lost') return this.#lost!;
    if (fault.kind === 'memory') return overloaded(RETRY_MS, `${this.#device} has no memory left for this run`);
    return graphDefect(`graph ${graph}: ${fault.message}`);
  }
}
