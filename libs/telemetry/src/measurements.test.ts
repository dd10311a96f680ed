import { expect, test } from 'vitest';
import { exposition, METRICS, Measurements, type MetricSpec, prometheusName } from './index.js';

test('a point of a metric is its attributes’; the snapshot is flat', () => {
  const measurements = new Measurements();
  measurements.count('onepass.rank.candidates', 200);
  measurements.count('onepass.rank.candidates');
  measurements.count('onepass.stage.failures', { 'onepass.stage': 'rank', 'error.type': 'kv_miss' });
  measurements.count('onepass.stage.failures', { 'error.type': 'kv_miss', 'onepass.stage': 'rank' }, 2);
  measurements.record('onepass.stage.duration', 0.002, { 'onepass.stage': 'rank' });
  measurements.record('onepass.stage.duration', 4, { 'onepass.stage': 'rank' });
  measurements.observe('onepass.index.items', () => 7);
  expect(measurements.snapshot()).toEqual({
    'onepass.rank.candidates': 201,
    'onepass.stage.failures{onepass.stage="rank",error.type="kv_miss"}': 3,
    'onepass.stage.duration.count{onepass.stage="rank"}': 2,
    'onepass.stage.duration.sum{onepass.stage="rank"}': 4.002,
    'onepass.index.items': 7,
  });
});

test('a role’s counters are there from the start, with every value of their attributes', () => {
  const snapshot = new Measurements('ranking').snapshot();
  expect(snapshot).toMatchObject({ 'onepass.kv.misses': 0, 'onepass.trace.spans{onepass.span.state="failed"}': 0 });
  expect(Object.keys(snapshot).filter((name) => name.startsWith('onepass.pages'))).toEqual([]);
});

test('Prometheus’s text: names with units, buckets that add up', () => {
  const measurements = new Measurements();
  measurements.count('onepass.pages', { 'onepass.kv.source': 'slot' });
  for (const seconds of [0.0005, 0.0006, 0.3, 99]) measurements.record('onepass.history.append.duration', seconds);
  measurements.observe('process.memory.usage', () => 1e6);
  const lines = exposition(measurements.families(), { 'service.name': 'onepass-"x"' }).split('\n');
  expect(lines).toContain('target_info{service_name="onepass-\\"x\\""} 1');
  expect(lines).toContain('# TYPE onepass_pages_total counter');
  expect(lines).toContain('onepass_pages_total{onepass_kv_source="slot"} 1');
  expect(lines).toContain('process_memory_usage_bytes 1000000');
  expect(lines.filter((line) => line.startsWith('onepass_history_append_duration_seconds'))).toEqual([
    'onepass_history_append_duration_seconds_bucket{le="0.0005"} 1',
    ...['0.001', '0.0025', '0.005', '0.01', '0.025', '0.05', '0.1', '0.2'].map(
      (le) => `onepass_history_append_duration_seconds_bucket{le="${le}"} 2`,
    ),
    ...['0.3', '0.5', '1', '2.5', '10'].map((le) => `onepass_history_append_duration_seconds_bucket{le="${le}"} 3`),
    'onepass_history_append_duration_seconds_bucket{le="+Inf"} 4',
    'onepass_history_append_duration_seconds_sum 99.3011',
    'onepass_history_append_duration_seconds_count 4',
  ]);
});

test('the schema: names that Prometheus cannot confuse, rising bounds, closed sets of values', () => {
  const specs = Object.entries<MetricSpec>(METRICS);
  const names = specs.map(([name, spec]) => prometheusName(name, spec));
  expect(new Set(names).size).toBe(names.length);
  for (const [name, spec] of specs) {
    expect(name).toMatch(/^(onepass|rpc|process|nodejs)\.[a-z0-9_.]+$/);
    expect(spec.unit).toMatch(/^(s|By|1|\{[a-z]+\})$/);
    expect(spec.says).toMatch(/\.$/);
    expect(spec.roles.length).toBeGreaterThan(0);
    expect(spec.bounds !== undefined).toBe(spec.kind === 'histogram');
    expect([...(spec.bounds ?? [])].sort((a, b) => a - b)).toEqual(spec.bounds ?? []);
    for (const values of Object.values(spec.attributes)) expect(values.length).toBeGreaterThan(0);
  }
});
