/** One thing that is tried on a running mesh, and the numbers it yields. */
export interface Drill {
  readonly name: string;
  /** One line for --help. */
  readonly says: string;
  /** Throws when it could not be tried; a bad result is a number, not an error. */
  run(terms: DrillTerms): Promise<Readonly<Record<string, number>>>;
}

export interface DrillTerms {
  /** Seconds in all: shows that it works, measures nothing. */
  readonly smoke: boolean;
  progress(line: string): void;
}

/** What a number must be for the promise it stands for to hold. */
export interface Goal {
  readonly atLeast?: number;
  readonly atMost?: number;
}
