import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize, relative } from 'node:path';

/**
 * The direction of imports, as data. A lib may import only from layers before its own; a service from libs, and where it is a process of several
 * roles from these; the local mesh from libs and perf from both. Only the named package may touch a native or transport dependency.
 */
export const RULES = {
  layers: [
    ['errors', 'certificates'],
    ['config', 'telemetry', 'routing', 'admission'],
    ['security'],
    ['contracts', 'shared-memory'],
    ['embeddings'],
    ['release'],
    ['inference', 'tokens', 'kv', 'history', 'vectors', 'pages'],
    ['client', 'warm-tier', 'device-trunk'],
    ['testing'],
  ],
  /**
   * Processes that must run several roles, and which these are.
   * @type {Record<string, readonly string[]>}
   */
  composed: { 'device-cell': ['user-encoder', 'ranking'] },
  /** @type {Record<string, readonly string[]>} */
  onlyIn: {
    koffi: ['shared-memory', 'inference'],
    'onnxruntime-node': ['inference'],
    usearch: ['vectors'],
    lmdb: ['history'],
    ioredis: ['history', 'warm-tier'],
    '@grpc/grpc-js': ['contracts'],
    '@grpc/reflection': ['contracts'],
    'grpc-health-check': ['contracts'],
    '@opentelemetry/api': ['telemetry'],
    '@opentelemetry/exporter-trace-otlp-proto': ['telemetry'],
    '@opentelemetry/resources': ['telemetry'],
    '@opentelemetry/sdk-trace': ['telemetry'],
  },
  /** Native code that the gateway must not load, directly or through a lib. */
  nativeFree: { package: 'gateway', forbidden: ['koffi', 'onnxruntime-node', 'usearch'] },
};

/**
 * @typedef {object} Import
 * @property {string} file path inside the repository
 * @property {string} specifier as written
 * @property {boolean} test whether a test, or a suite that tests share, imports it
 *
 * @typedef {object} Package
 * @property {string} name without scope
 * @property {string} folder path inside the repository
 * @property {readonly string[]} dependencies as package.json declares them
 * @property {readonly string[]} devDependencies
 * @property {readonly string[]} references folders that tsconfig.json refers to
 * @property {readonly Import[]} imports
 *
 * @typedef {object} Workspace
 * @property {readonly Package[]} packages
 * @property {readonly string[]} rootDevDependencies
 * @property {readonly string[]} rootReferences
 */

/**
 * What `source` imports: static, re-exported, side-effect and dynamic, in order.
 * @param {string} source TypeScript
 * @returns {string[]}
 */
export function importsOf(source) {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const patterns =
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return [...code.matchAll(patterns)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

/**
 * Every breach of the rules, one sentence each, naming the file; empty when all is well.
 * @param {Workspace} workspace
 * @param {typeof RULES} [rules]
 * @returns {string[]}
 */
export function importProblems(workspace, rules = RULES) {
  const byName = new Map(workspace.packages.map((p) => [p.name, p]));
  const unlisted = workspace.packages
    .filter((p) => !workspace.rootReferences.includes(p.folder))
    .map((p) => `tsconfig.json does not refer to ${p.folder}`);
  return [
    ...unlisted,
    ...workspace.packages.flatMap((p) => [
      ...layerProblems(p, byName, rules),
      ...declarationProblems(p, byName),
      ...p.imports.flatMap((i) => importProblem(p, i, { workspace, byName, rules })),
    ]),
    ...cycleProblems(workspace.packages, byName),
    ...nativeProblems(byName, rules),
  ];
}

/** @param {string} dependency */
const scopeless = (dependency) => dependency.replace(/^@onepass\//, '');
/** @param {string} dependency */
const isOwn = (dependency) => dependency.startsWith('@onepass/');
/** @param {Package} p */
const ownDependencies = (p) => p.dependencies.filter(isOwn).map(scopeless);

/**
 * @param {Package} p
 * @param {typeof RULES} rules
 */
function rank(p, rules) {
  const layer = rules.layers.findIndex((names) => names.includes(p.name));
  if (layer >= 0) return layer;
  if (p.folder.startsWith('services/')) return rules.layers.length;
  if (p.folder === 'deploy/local') return rules.layers.length + 1;
  return p.folder.startsWith('deploy/') ? rules.layers.length + 2 : rules.layers.length + 3;
}

/**
 * @param {Package} p
 * @param {ReadonlyMap<string, Package>} byName
 * @param {typeof RULES} rules
 */
function layerProblems(p, byName, rules) {
  const isLib = p.folder.startsWith('libs/');
  if (isLib && !rules.layers.flat().includes(p.name))
    return [`${p.folder} has no layer: add it to scripts/lib/imports.mjs`];
  return ownDependencies(p).flatMap((name) => {
    if (name === 'testing') return [`${p.folder}/package.json must have @onepass/testing among its devDependencies`];
    const dependency = byName.get(name);
    if (dependency === undefined) return [`${p.folder}/package.json depends on @onepass/${name}, which does not exist`];
    if (rules.composed[p.name]?.includes(name)) return [];
    if (dependency.folder.startsWith('services/'))
      return [`${p.folder} depends on the service ${dependency.folder}: only processes meet services, over gRPC`];
    if (rank(dependency, rules) < rank(p, rules)) return [];
    return [`${p.folder} depends on ${dependency.folder}, which is not in a layer before it`];
  });
}

/**
 * @param {Package} p
 * @param {ReadonlyMap<string, Package>} byName
 */
function declarationProblems(p, byName) {
  const wanted = ownDependencies(p).flatMap((name) => byName.get(name)?.folder ?? []);
  return [
    ...wanted
      .filter((f) => !p.references.includes(f))
      .map((f) => `${p.folder}/tsconfig.json does not refer to ${f}, which package.json depends on`),
    ...p.references
      .filter((f) => !wanted.includes(f))
      .map((f) => `${p.folder}/tsconfig.json refers to ${f}, which package.json does not depend on`),
  ];
}

/**
 * @param {Package} p
 * @param {Import} i
 * @param {{ workspace: Workspace, byName: ReadonlyMap<string, Package>, rules: typeof RULES }} context
 * @returns {string[]}
 */
function importProblem(p, i, { workspace, rules }) {
  if (i.specifier.startsWith('node:')) return [];
  if (i.specifier.startsWith('.')) {
    const target = relative(p.folder, normalize(join(dirname(i.file), i.specifier)));
    return target.startsWith('..') ? [`${i.file} reaches out of its package with ${i.specifier}`] : [];
  }
  const dependency = i.specifier
    .split('/')
    .slice(0, i.specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const isSharedSuite = i.test && i.specifier.endsWith('.suite');
  if (isOwn(dependency) && dependency !== i.specifier && !isSharedSuite)
    return [`${i.file} imports ${i.specifier}: a package is imported by its name alone, but for suites, by tests`];
  const allowed = i.test ? [...p.dependencies, ...p.devDependencies, ...workspace.rootDevDependencies] : p.dependencies;
  const keepers = rules.onlyIn[dependency];
  return [
    ...(allowed.includes(dependency)
      ? []
      : [`${i.file} imports ${dependency}, which ${p.folder}/package.json does not declare`]),
    ...(keepers && !keepers.includes(p.name)
      ? [`${i.file} imports ${dependency}, which only ${keepers.join(' and ')} may`]
      : []),
  ];
}

/**
 * @param {readonly Package[]} packages
 * @param {ReadonlyMap<string, Package>} byName
 */
function cycleProblems(packages, byName) {
  return packages
    .filter((p) => reachable(ownDependencies(p), byName).has(p.name))
    .map((p) => `${p.folder} depends on itself through its dependencies`);
}

/**
 * @param {ReadonlyMap<string, Package>} byName
 * @param {typeof RULES} rules
 */
function nativeProblems(byName, rules) {
  const { package: name, forbidden } = rules.nativeFree;
  return [...reachable([name], byName)].flatMap((reached) =>
    (byName.get(reached)?.dependencies ?? [])
      .filter((d) => forbidden.includes(d))
      .map((d) => `${name} would load ${d} through ${reached}`),
  );
}

/**
 * @param {readonly string[]} from
 * @param {ReadonlyMap<string, Package>} byName
 */
function reachable(from, byName) {
  /** @type {Set<string>} */
  const seen = new Set();
  const waiting = [...from];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const p = byName.get(name);
    if (p !== undefined) waiting.push(...ownDependencies(p));
  }
  return seen;
}

/**
 * Reads the packages of the repository at `root`.
 * @param {string} root
 * @returns {Promise<Workspace>}
 */
export async function readWorkspace(root) {
  const manifest = await readJson(join(root, 'package.json'));
  const folders = await Promise.all(
    manifest.workspaces.map(async (/** @type {string} */ pattern) => {
      if (!pattern.endsWith('/*')) return [pattern];
      const parent = pattern.slice(0, -2);
      const entries = await readdir(join(root, parent), { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map((entry) => `${parent}/${entry.name}`);
    }),
  );
  const { references } = await readJson(join(root, 'tsconfig.json'));
  return {
    packages: await Promise.all(
      folders
        .flat()
        .sort()
        .map((folder) => readPackage(root, folder)),
    ),
    rootDevDependencies: Object.keys(manifest.devDependencies),
    rootReferences: references.map((/** @type {{ path: string }} */ r) => r.path),
  };
}

/**
 * @param {string} root
 * @param {string} folder
 * @returns {Promise<Package>}
 */
async function readPackage(root, folder) {
  const manifest = await readJson(join(root, folder, 'package.json'));
  const config = await readJson(join(root, folder, 'tsconfig.json'));
  const files = (await readdir(join(root, folder, 'src'), { recursive: true })).filter((name) => name.endsWith('.ts'));
  const imports = await Promise.all(
    files.sort().map(async (name) => {
      const file = `${folder}/src/${name}`;
      const specifiers = importsOf(await readFile(join(root, file), 'utf8'));
      // All of libs/testing is there for tests.
      const test = /\.(test|suite)\.ts$/.test(name) || folder === 'libs/testing';
      return specifiers.map((specifier) => ({ file, specifier, test }));
    }),
  );
  return {
    name: scopeless(manifest.name),
    folder,
    dependencies: Object.keys(manifest.dependencies ?? {}),
    devDependencies: Object.keys(manifest.devDependencies ?? {}),
    references: (config.references ?? []).map((/** @type {{ path: string }} */ r) => normalize(join(folder, r.path))),
    imports: imports.flat(),
  };
}

/** @param {string} path */
async function readJson(path) {
  return JSON.parse(await readFile(path, 'utf8'));
}
