import { monitorEventLoopDelay } from 'node:perf_hooks';

/**
 * Counters and gauges of one process, by metric name. Describe answers them; an exporter can read the same snapshot.
 */
export class Measurements {
  readonly #counters = new Map<string, number>();
  readonly #gauges = new Map<string, () => number>();

  /** Adds to a counter, which starts at 0. */
  count(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  /** A number read when asked for. */
  gauge(name: string, read: () => number): void {
    this.#gauges.set(name, read);
  }

  snapshot(): Record<string, number> {
    const values: Record<string, number> = Object.fromEntries(this.#counters);
    for (const [name, read] of this.#gauges) values[name] = read();
    return values;
  }
}

/**
 * Event loop lag as gauges `event_loop_lag_p99_ms` and `event_loop_lag_max_ms`, over the time since they were last read
 * (or since start). The timer's own period of `resolutionMs` is taken off.
 */
export function measureEventLoop(measurements: Measurements, resolutionMs = 5): void {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const beyondPeriod = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolutionMs);
  measurements.gauge('event_loop_lag_p99_ms', () => beyondPeriod(histogram.percentile(99)));
  measurements.gauge('event_loop_lag_max_ms', () => {
    const max = beyondPeriod(histogram.max);
    histogram.reset();
    return max;
  });
}
