export type CheckState = 'ok' | 'failed' | 'left out';

/** What one check found: for a failure, one clear sentence; for what was left out, why. */
export interface CheckOutcome {
  readonly state: CheckState;
  readonly says: string;
  readonly numbers?: Readonly<Record<string, number>>;
}

/** What one check found, as it is kept. */
export interface CheckReport extends CheckOutcome {
  readonly name: string;
  readonly seconds: number;
}

export const ok = (says: string, numbers?: CheckOutcome['numbers']): CheckOutcome => ({
  state: 'ok',
  says,
  ...(numbers && { numbers }),
});
export const failed = (says: string, numbers?: CheckOutcome['numbers']): CheckOutcome => ({
  state: 'failed',
  says,
  ...(numbers && { numbers }),
});
export const leftOut = (why: string): CheckOutcome => ({ state: 'left out', says: why });

/** A failure where there are complaints, else what all of them were asked for. */
export function judged(complaints: readonly string[], good: string, numbers?: CheckOutcome['numbers']): CheckOutcome {
  return complaints.length === 0 ? ok(good, numbers) : failed(complaints.join('; '), numbers);
}
