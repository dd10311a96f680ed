import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import { METRICS, type MetricSpec, prometheusName } from '@onepass/telemetry';
import { expect, test } from 'vitest';

const specs = new Map(
  Object.entries<MetricSpec>(METRICS).map(([name, spec]) => [prometheusName(name, spec), spec] as const),
);

/** The metrics and the values of their labels that a text of PromQL names; what Python is asked to run is a module. */
function problemsOf(text: string): string[] {
  return [...text.matchAll(/(?<!-m )\b((?:onepass|rpc|nodejs|process)_[a-z0-9_]+)(\{[^}]*\})?/g)].flatMap(
    ([, name, braces]) => {
      const spec = specs.get(name as string) ?? specs.get((name as string).replace(/_(bucket|sum|count)$/, ''));
      if (spec === undefined) return isLabel(name as string) ? [] : [`the schema has no metric ${name}`];
      return [...(braces ?? '').matchAll(/([a-z_]+)(?:=~|!=|=)"([^"]*)"/g)].flatMap(([, label, value]) => {
        if (label === 'role') return [];
        const attribute = Object.keys(spec.attributes).find((key) => key.replaceAll('.', '_') === label);
        if (attribute === undefined) return [`${name} has no label ${label}`];
        const pattern = new RegExp(`^(${(value as string).replaceAll('\\|', '|')})$`);
        return spec.attributes[attribute]?.some((known) => pattern.test(known))
          ? []
          : [`${label} of ${name} is never ${value}`];
      });
    },
  );
}

function isLabel(name: string): boolean {
  return [...specs.values()].some(({ attributes }) =>
    Object.keys(attributes).some((key) => key.replaceAll('.', '_') === name),
  );
}

test.each(['deploy/telemetry/alerts.yml', 'docs/telemetry.md', 'docs/operations.md'])(
  '%s asks for metrics that there are',
  async (file) => {
    expect(problemsOf(await readFile(join(repositoryRoot, file), 'utf8'))).toEqual([]);
  },
);

test('a metric, a label or a value that there is not is found', () => {
  expect(problemsOf('rate(onepass_pags_total[5m])')).toEqual(['the schema has no metric onepass_pags_total']);
  expect(problemsOf('onepass_pages_total{onepass_stage="rank"}')).toEqual([
    'onepass_pages_total has no label onepass_stage',
  ]);
  expect(problemsOf('onepass_pages_total{onepass_kv_source="slots"}')).toHaveLength(1);
});
