import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './paths.mjs';
import { metricsTable, spansTable } from './telemetry-docs.mjs';

/**
 * A part of a document that code writes, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
 * @typedef {object} Part
 * @property {string} file inside the repository
 * @property {string} name of the marks
 * @property {() => Promise<string>} write Markdown; needs the build
 */

/** @type {readonly Part[]} */
export const PARTS = [
  { file: 'docs/operations.md', name: 'settings', write: settingsTable },
  { file: 'docs/telemetry.md', name: 'metrics', write: () => fromSchema(metricsTable) },
  { file: 'docs/telemetry.md', name: 'spans', write: () => fromSchema(spansTable) },
];

/**
 * The documents as they should be.
 * @returns {Promise<{ file: string, now: string, wanted: string }[]>}
 */
export async function generatedDocs() {
  /** @type {Map<string, { file: string, now: string, wanted: string }>} */
  const documents = new Map();
  for (const { file, name, write } of PARTS) {
    const now = documents.get(file)?.now ?? (await readFile(join(root, file), 'utf8'));
    const wanted = withPart(documents.get(file)?.wanted ?? now, name, await write());
    documents.set(file, { file, now, wanted });
  }
  return [...documents.values()];
}

/**
 * @param {string} document
 * @param {string} name
 * @param {string} part
 */
export function withPart(document, name, part) {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the document has no part between ${begin} and ${end}`);
  return `${document.slice(0, from + begin.length)}\n${part.trim()}\n${document.slice(to)}`;
}

/** @param {(telemetry: typeof import('../../libs/telemetry/dist/index.js')) => string} write */
async function fromSchema(write) {
  return write(await import('../../libs/telemetry/dist/index.js'));
}

/** @typedef {Readonly<Record<string, { env: string, description: string }>>} Settings */

/** Every setting once, with the roles that have it. */
async function settingsTable() {
  const { gatewaySettings } = await import('../../services/gateway/dist/index.js');
  const { userEncoderSettings } = await import('../../services/user-encoder/dist/index.js');
  const { retrievalSettings } = await import('../../services/retrieval/dist/index.js');
  const { rankingSettings } = await import('../../services/ranking/dist/index.js');
  const { deviceCellSettings } = await import('../../services/device-cell/dist/index.js');
  return tableOf({
    gateway: gatewaySettings,
    'user-encoder': userEncoderSettings,
    retrieval: retrievalSettings,
    ranking: rankingSettings,
    'device-cell': deviceCellSettings,
  });
}

/**
 * @param {Readonly<Record<string, Settings>>} roles
 * @returns {string}
 */
export function tableOf(roles) {
  /** @type {Map<string, { env: string, description: string, roles: string[] }>} */
  const rows = new Map();
  for (const [role, settings] of Object.entries(roles)) {
    for (const { env, description } of Object.values(settings)) {
      // One variable may mean a different thing, or have another default, from role to role.
      const key = `${env} ${description}`;
      const row = rows.get(key) ?? { env, description, roles: [] };
      row.roles.push(role);
      rows.set(key, row);
    }
  }
  const all = Object.keys(roles).length;
  const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|');
  const lines = [...rows.values()].map(
    ({ env, description, roles: having }) =>
      `| \`${env}\` | ${having.length === all ? 'all' : having.join(', ')} | ${cell(description)} |`,
  );
  return ['| setting | roles | meaning |', '|---|---|---|', ...lines.sort()].join('\n');
}
