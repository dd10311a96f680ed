import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Measurements } from './measurements.js';

/**
 * What every process tells of itself: CPU, memory, age, and event loop lag over the time since it was last read (or since start). The
 * timer's own period of `resolutionMs` is taken off the lag. Every stall longer than that is seen; a timer of 5 ms sees shorter ones too, and takes
 * .7% of a core of each process to do so (Node 20.20, AMD EPYC, 2026-11-21; this one takes .1%).
 */
export function measureProcess(measurements: Measurements, resolutionMs = 100): void {
  const lag = monitorEventLoopDelay({ resolution: resolutionMs });
  lag.enable();
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - resolutionMs / 1e3);
  measurements.observe('nodejs.eventloop.delay.p99', () => seconds(lag.percentile(99)));
  measurements.observe('nodejs.eventloop.delay.max', () => {
    const max = seconds(lag.max);
    lag.reset();
    return max;
  });
  measurements.observe('process.cpu.time', () => process.cpuUsage().user / 1e6, { 'cpu.mode': 'user' });
  measurements.observe('process.cpu.time', () => process.cpuUsage().system / 1e6, { 'cpu.mode': 'system' });
  measurements.observe('process.memory.usage', () => process.memoryUsage.rss());
  measurements.observe('process.uptime', () => process.uptime());
}
