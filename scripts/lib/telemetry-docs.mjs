// The tables of docs/telemetry.md, from the schema in libs/telemetry.

/** @typedef {typeof import('../../libs/telemetry/dist/index.js')} Telemetry */
/** @typedef {import('../../libs/telemetry/dist/index.js').MetricSpec} MetricSpec */
/** @typedef {import('../../libs/telemetry/dist/index.js').SpanSpec} SpanSpec */

const ROLE_COUNT = 4;
/** Sets of values that are longer are told beside the table. */
const SHORT = 8;

/**
 * @param {Telemetry} telemetry
 * @returns {string}
 */
export function metricsTable({ METRICS, prometheusName }) {
  const rows = Object.entries(/** @type {Readonly<Record<string, MetricSpec>>} */ (METRICS)).map(([name, spec]) => {
    const { kind, unit, says, when, roles, attributes } = spec;
    const told = when === undefined ? says : `${says} Told once ${when}.`;
    return row([
      `\`${name}\`<br>\`${prometheusName(name, spec)}\``,
      kind,
      unit,
      rolesOf(roles),
      Object.entries(attributes).map(attribute).join('<br>'),
      told,
    ]);
  });
  return table(['metric', 'kind', 'unit', 'roles', 'attributes', 'meaning'], rows);
}

/** @param {[string, readonly string[]]} entry */
function attribute([name, values]) {
  return values.length > SHORT ? `\`${name}\`` : `\`${name}\`: ${values.join(', ')}`;
}

/**
 * @param {Telemetry} telemetry
 * @returns {string}
 */
export function spansTable({ SPANS, CALLED_FROM }) {
  const calls = Object.entries(CALLED_FROM).map(([method, parents]) =>
    row([
      `\`${method}\``,
      'client, then server',
      code(parents ?? []),
      '',
      'A call between processes: the client span’s child in the other process is the server span.',
    ]),
  );
  const spans = Object.entries(/** @type {Readonly<Record<string, SpanSpec>>} */ (SPANS)).map(
    ([name, { roles, says, when, parents, attributes }]) =>
      row([
        `\`${name}\``,
        rolesOf(roles),
        parents.length > SHORT ? 'any call' : code(parents),
        code(Object.keys(attributes)),
        when === undefined ? says : `${says} Only where ${when}.`,
      ]),
  );
  return table(['span', 'where', 'inside', 'attributes', 'meaning'], [...calls, ...spans]);
}

/** @param {readonly string[]} names */
function code(names) {
  return names.map((name) => `\`${name}\``).join('<br>');
}

/** @param {readonly string[]} roles */
function rolesOf(roles) {
  return roles.length === ROLE_COUNT ? 'all' : roles.join(', ');
}

/** @param {readonly string[]} cells */
function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

/**
 * @param {readonly string[]} heads
 * @param {readonly string[]} rows
 */
function table(heads, rows) {
  return [row(heads), row(heads.map(() => '---')), ...rows].join('\n');
}
