/** What V8 writes (.cpuprofile), as far as it is used here. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Ids of the nodes that were running, sample by sample. */
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** Microseconds that each node itself was running, by id: a sample holds until the next one. */
export function selfMicros({ samples, timeDeltas }: CpuProfile): Map<number, number> {
  const micros = new Map<number, number>();
  for (let i = 0; i + 1 < samples.length; i += 1) {
    const id = samples[i]!;
    micros.set(id, (micros.get(id) ?? 0) + Math.max(0, timeDeltas[i + 1]!));
  }
  return micros;
}
