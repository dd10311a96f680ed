import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '@onepass/local';
import type { Findings, SystemName } from '../measurements.js';
import { MONOLITH_DESCRIPTIONS } from '../monolith/monolith.js';
import { MESH_SYSTEMS } from '../systems/systems.js';

/** What the figures depend on beside the project itself. */
const PACKAGES = ['@grpc/grpc-js', '@bufbuild/protobuf', 'onnxruntime-node', 'usearch', 'koffi', 'lmdb'];

/** By name, of what is installed. */
export async function versionsOf(ghz: string): Promise<Record<string, string>> {
  const lock = JSON.parse(await readFile(join(repositoryRoot, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const locked = PACKAGES.map((name) => [name, lock.packages[`node_modules/${name}`]?.version] as const);
  return {
    ghz,
    ...Object.fromEntries(locked.flatMap(([name, version]) => (version === undefined ? [] : [[name, version]]))),
  };
}

/** In words, of the systems named. */
export function systemDescriptions(names: readonly SystemName[]): Findings['systems'] {
  const all: Findings['systems'] = {
    ...Object.fromEntries(Object.entries(MESH_SYSTEMS).map(([name, { description }]) => [name, description])),
    ...MONOLITH_DESCRIPTIONS,
  };
  return Object.fromEntries(names.map((name) => [name, all[name]]));
}
