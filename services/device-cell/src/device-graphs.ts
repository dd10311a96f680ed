import { type DeviceModel, graphPath, readDeviceModel, type TrunkAttention } from '@onepass/device-trunk';
import { startupError } from '@onepass/errors';
import { checksum, type Release } from '@onepass/release';

const GRAPHS = ['prefill', 'encode', 'rank'] as const;
type Graph = (typeof GRAPHS)[number];

/** Which way to compute attention each graph is to have; absent = the first of `PREFERRED` that there is. */
export type WantedAttention = Partial<Readonly<Record<Graph, string>>>;

/** A fused kernel in both graphs; a fused one where keys and values are in one piece; matrix products (docs/decisions/022-attention.md). */
const PREFERRED = ['attention', 'mha', 'plain'];

/**
 * @param raw `auto`, a name, or `encode=NAME,rank=NAME`
 * @throws Error whose message ends the sentence "ONEPASS_DEVICE_ATTENTION: ..."
 */
export function parseAttention(raw: string): WantedAttention {
  if (raw === 'auto') return {};
  if (!raw.includes('=')) return Object.fromEntries(GRAPHS.map((graph) => [graph, raw]));
  return Object.fromEntries(
    raw.split(',').map((part) => {
      const [graph, name, ...more] = part.split('=');
      if (!GRAPHS.includes(graph as Graph) || !name || more.length > 0)
        throw new Error(
          `must be auto, a name, or GRAPH=NAME with , between, where GRAPH is ${GRAPHS.join(', ')}; not "${part}"`,
        );
      return [graph, name];
    }),
  );
}

/**
 * The device graphs of a release, every byte of them checked.
 * @throws OnepassError `startup`, one sentence naming the file, or what they are of
 */
export async function openDeviceModel(directory: string, release: Pick<Release, 'id'>): Promise<DeviceModel> {
  const model = await readDeviceModel(directory);
  if (model.releaseId !== release.id) {
    const whose = model.releaseId === null ? 'of made-up weights' : `of release ${model.releaseId}`;
    throw startupError(`ONEPASS_DEVICE_GRAPHS: ${directory} has device graphs ${whose}, served is ${release.id}`);
  }
  for (const [path, sha256] of Object.entries(model.files)) {
    const actual = await checksum(directory, path, 'device graphs');
    if (actual.sha256 !== sha256)
      throw startupError(
        `device graphs ${directory}: ${path} does not have the checksum that device.json says: it was altered or is damaged`,
      );
  }
  return model;
}

/**
 * The way of each graph. People without a past need a graph of their own: who has no slot is encoded by it.
 * @throws OnepassError `startup` naming the graph that is not there
 */
export function attentionOf(
  model: DeviceModel,
  wanted: WantedAttention,
): TrunkAttention & { readonly prefill: string } {
  const of = (graph: Graph) => {
    requireWanted(model, graph, wanted[graph]);
    const name = wanted[graph] ?? PREFERRED.find((one) => model.graphs[graph]?.[one] !== undefined) ?? 'plain';
    requireChecked(model, graphPath(model, graph, name));
    return name;
  };
  requireChecked(model, `${model.directory}/${model.weights}`);
  return { prefill: of('prefill'), encode: of('encode'), rank: of('rank') };
}

function requireWanted({ directory, graphs }: DeviceModel, graph: Graph, name: string | undefined): void {
  const known = Object.keys(graphs[graph] ?? {});
  if (name !== undefined && !known.includes(name))
    throw startupError(
      `ONEPASS_DEVICE_ATTENTION: ${directory} has no ${graph} graph with attention "${name}": ${known.join(', ') || 'none'}`,
    );
}

function requireChecked({ directory, files }: DeviceModel, path: string): void {
  const name = path.slice(directory.length).replace(/^\/+/, '');
  if (files[name] === undefined)
    throw startupError(`device graphs ${directory}: device.json has no checksum of ${name}: make the graphs anew`);
}
