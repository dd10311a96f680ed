const FIRST_MS = 200;
const LONGEST_MS = 10_000;

/**
 * How long to wait before restart number `attempt` (from 0): doubling up to 10 s, of which a random half to whole is taken, so
 * that processes that died together do not come back together.
 * @param random a number in [0, 1)
 */
export function backOffMs(attempt: number, random: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
  return Math.round(whole * (0.5 + random / 2));
}
