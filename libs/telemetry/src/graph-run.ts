import type { Measurements } from './measurements.js';
import type { AttributesOf } from './schema/index.js';
import { epochMs, type Span } from './tracing.js';

/** Tells of a graph run that has just returned: how long it waited and ran is known only now. */
export function tellGraphRun(
  graph: AttributesOf<'onepass.inference.run.duration'>['onepass.graph'],
  timing: { readonly queueMicros: number; readonly runMicros: number },
  { measurements, span }: { readonly measurements: Measurements; readonly span: Span },
): void {
  const attributes = { 'onepass.graph': graph };
  measurements.record('onepass.inference.queue.duration', timing.queueMicros / 1e6, attributes);
  measurements.record('onepass.inference.run.duration', timing.runMicros / 1e6, attributes);
  if (!span.recorded) return;
  const startedMs = epochMs() - timing.runMicros / 1000;
  const askedMs = startedMs - timing.queueMicros / 1000;
  span.child('inference_queue', { startMs: askedMs, attributes }).end(undefined, startedMs);
  span.child('inference_run', { startMs: startedMs, attributes }).end();
}
