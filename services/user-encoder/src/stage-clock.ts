export type StageName = 'queue' | 'restore' | 'history' | 'query' | 'encode' | 'head';

/** How long a request spent in each stage. */
export class StageClock {
  readonly #micros = new Map<StageName, number>();

  addMicros(stage: StageName, micros: number): void {
    this.#micros.set(stage, (this.#micros.get(stage) ?? 0) + micros);
  }

  /**
   * Adds the time since `started`, a reading of performance.now().
   * @returns that time in seconds
   */
  addSince(stage: StageName, started: number): number {
    const ms = performance.now() - started;
    this.addMicros(stage, ms * 1000);
    return ms / 1000;
  }

  timings(): { stage: string; micros: number }[] {
    return Array.from(this.#micros, ([stage, micros]) => ({ stage, micros: Math.round(micros) }));
  }
}
