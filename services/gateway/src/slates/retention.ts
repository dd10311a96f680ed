import { setTimeout } from 'node:timers/promises';
import { OnepassError } from '@onepass/errors';
import type { SlateStore } from '@onepass/history';
import type { Logger, Measurements } from '@onepass/telemetry';

const DAY_MS = 86_400_000;
/** Between two looks; the first is after the first of these, so that a start has other things to do. */
const EVERY_MS = 10 * 60_000;

/** Drops slates older than `days` now and then, until aborted. */
export async function keepRetention(
  slates: SlateStore,
  days: number,
  signal: AbortSignal,
  { logger, measurements }: { readonly logger: Logger; readonly measurements: Measurements },
  everyMs = EVERY_MS,
): Promise<void> {
  for (;;) {
    // Several gateways of one store do not all come at once.
    await setTimeout(everyMs * (0.75 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    try {
      const dropped = await slates.prune(Date.now() - days * DAY_MS);
      measurements.count('onepass.slates', { 'onepass.slate.outcome': 'expired' }, dropped);
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      logger.warn({ err: error.cause ?? error }, 'old slates cannot be dropped');
    }
  }
}
