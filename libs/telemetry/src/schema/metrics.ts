import { REQUEST_METRICS } from './request-metrics.js';
import { STATE_METRICS } from './state-metrics.js';
import { WORK_METRICS } from './work-metrics.js';

/** All metrics, in the order of docs/telemetry.md. */
export const METRICS = { ...REQUEST_METRICS, ...STATE_METRICS, ...WORK_METRICS } as const;

export type MetricName = keyof typeof METRICS;

type NamesOf<Kind> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends Kind ? N : never;
}[MetricName];
export type CounterName = NamesOf<'counter'>;
export type GaugeName = NamesOf<'gauge'>;
export type HistogramName = NamesOf<'histogram'>;

/** The attributes of one point of a metric: all of them, always. */
export type AttributesOf<N extends MetricName> = {
  readonly [A in keyof (typeof METRICS)[N]['attributes']]: (typeof METRICS)[N]['attributes'][A] extends readonly (infer V)[]
    ? V
    : never;
};
