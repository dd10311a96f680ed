import {
  Admission,
  type AdmissionOptions,
  boundOptions,
  PRIORITIES,
  STAGE_CALLS,
  type Ticket,
} from '@onepass/admission';
import type { Measurements } from '@onepass/telemetry';
import type { AnyHandler, Implementation } from './implement.js';

/** Calls that are admitted together: `pages` adapts, the others are bounds. */
export type AdmissionGroup = 'pages' | 'events' | 'catalog' | 'stage';

/** An admission that tells what it does. Its clock is epoch ms, as deadlines are. */
export function measuredAdmission(
  group: AdmissionGroup,
  options: AdmissionOptions,
  measurements: Measurements,
): Admission {
  const of = { 'onepass.admission.group': group };
  const admission: Admission = new Admission(options, Date.now, {
    refused: (why, priority) =>
      measurements.count('onepass.admission.refusals', {
        ...of,
        'onepass.admission.refusal': why,
        'onepass.priority': priority,
      }),
    waited: (predictedMs, actualMs) => {
      measurements.record('onepass.admission.wait.duration', actualMs / 1000, of);
      measurements.record('onepass.admission.wait.predicted', predictedMs / 1000, of);
    },
  });
  measurements.observe('onepass.admission.in_flight', () => admission.inFlight, of);
  measurements.observe('onepass.admission.limit', () => admission.limit, of);
  for (const priority of PRIORITIES) {
    const attributes = { ...of, 'onepass.priority': priority };
    measurements.observe('onepass.admission.waiting', () => admission.waiting(priority), attributes);
  }
  return admission;
}

/**
 * The service with at most `maximum` calls under way, Describe apart: grpc-js bounds the streams of a connection, never those of a server.
 * One more is refused as `overloaded` before its work begins.
 */
export function bounded(
  implementation: Implementation,
  { group, maximum }: { readonly group: AdmissionGroup; readonly maximum: number },
  measurements: Measurements,
): Implementation {
  const admission = measuredAdmission(group, boundOptions(maximum), measurements);
  const handlers = Object.entries(implementation.handlers).map(([name, handler]) => {
    return [name, handler === undefined || name === 'describe' ? handler : boundedHandler(handler, admission)];
  });
  return { ...implementation, handlers: Object.fromEntries(handlers) };
}

/** A stage's service, bounded. */
export function boundedStage(implementation: Implementation, measurements: Measurements): Implementation {
  return bounded(implementation, { group: 'stage', maximum: STAGE_CALLS }, measurements);
}

function boundedHandler(handler: AnyHandler, admission: Admission): AnyHandler {
  return async (request, call) => {
    let ticket: Ticket | undefined;
    admission.apply({
      priority: call.priority,
      deadlineMs: Number.POSITIVE_INFINITY,
      begin: (begun) => {
        ticket = begun;
      },
      drop: () => {},
    });
    try {
      return await handler(request, call);
    } finally {
      ticket?.finish('whole');
    }
  };
}
