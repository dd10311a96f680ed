import { allocateMapped, type MappedMemory } from '@onepass/shared-memory';

/** Numbers for one run, in memory that nothing moves. What they hold at first is left over from earlier runs. */
export interface RunBuffer {
  readonly data: Float32Array;
  /** Back to the pool; `data` must not be used afterwards. A second call does nothing. */
  release(): void;
}

const SMALLEST_CLASS_BYTES = 4096;

/**
 * Run buffers by power-of-two size class, from anonymous mapped memory. Memory grows to the most that was ever taken at one time
 * and is then reused; pages that are never touched cost nothing.
 */
export class BufferPool {
  readonly #free = new Map<number, MappedMemory[]>();
  readonly #all: MappedMemory[] = [];
  readonly #allocate: (bytes: number) => MappedMemory;

  constructor(allocate: (bytes: number) => MappedMemory = allocateMapped) {
    this.#allocate = allocate;
  }

  /** Bytes of all buffers, taken or free. */
  get bytes(): number {
    return this.#all.reduce((sum, memory) => sum + memory.bytes, 0);
  }

  /** `floats` numbers, 0 allowed. */
  take(floats: number): RunBuffer {
    const bytes = sizeClass(floats * Float32Array.BYTES_PER_ELEMENT);
    const memory = this.#free.get(bytes)?.pop() ?? this.#grow(bytes);
    let taken = true;
    return {
      data: new Float32Array(memory.buffer, 0, floats),
      release: () => {
        if (taken) this.#free.get(bytes)?.push(memory);
        taken = false;
      },
    };
  }

  /** Unmaps everything, taken buffers too. */
  close(): void {
    this.#free.clear();
    for (const memory of this.#all.splice(0)) memory.close();
  }

  #grow(bytes: number): MappedMemory {
    const memory = this.#allocate(bytes);
    this.#all.push(memory);
    if (!this.#free.has(bytes)) this.#free.set(bytes, []);
    return memory;
  }
}

function sizeClass(bytes: number): number {
  let size = SMALLEST_CLASS_BYTES;
  while (size < bytes) size *= 2;
  return size;
}
