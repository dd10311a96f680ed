import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { z } from 'zod';
import type { PagedShape } from './device-pools.js';

/** The file beside the graphs that says what they are like (docs/device-graphs.md). */
export const DEVICE_DESCRIPTION = 'device.json';

const count = z.int().positive();
const files = z.record(z.string(), z.string());
const description = z.object({
  formatVersion: z.literal(1),
  /** Whose weights they are; null for made-up ones. */
  releaseId: z.string().nullable().default(null),
  dtype: z.enum(['float32', 'float16']),
  pageTokens: count,
  layers: count,
  width: count,
  heads: count,
  columns: count,
  embedding: count,
  actions: count,
  window: count,
  contextRows: count,
  graphs: z.object({ prefill: files.optional(), encode: files, rank: files, recompute: files, gather: z.string() }),
  weights: z.string(),
  /** By name, the SHA-256 of every file beside this one, in hexadecimal. */
  files: files.default({}),
});

/** What device graphs are like, and where they are. */
export interface DeviceModel extends z.infer<typeof description> {
  readonly directory: string;
}

/** @throws OnepassError `startup` naming the file and what is wrong with it */
export async function readDeviceModel(directory: string): Promise<DeviceModel> {
  const path = join(directory, DEVICE_DESCRIPTION);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw startupError(`"${path}" cannot be read: are there device graphs?`, error);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw startupError(`"${path}" is not JSON`, error);
  }
  const parsed = description.safeParse(content);
  if (parsed.success) return { ...parsed.data, directory };
  const [issue] = parsed.error.issues;
  const where = issue!.path.length === 0 ? '' : `${issue!.path.join('.')}: `;
  throw startupError(`"${path}" does not describe device graphs: ${where}${issue!.message}`);
}

/** How KV of the model's people lies on the device: a whole window, and context rows behind it. */
export function pagedShapeOf({ layers, width, window, contextRows, dtype, pageTokens }: DeviceModel): PagedShape {
  return { kv: { layers, width, capacity: window + contextRows }, element: dtype, pageTokens };
}

/** Path of one graph. @throws OnepassError `startup` naming the ways to compute attention that there are */
export function graphPath(
  { directory, graphs }: DeviceModel,
  graph: 'prefill' | 'encode' | 'rank' | 'recompute',
  attention: string,
): string {
  const file = graphs[graph]?.[attention];
  if (file === undefined) {
    const known = Object.keys(graphs[graph] ?? {}).join(', ') || 'none';
    throw startupError(
      `"${join(directory, DEVICE_DESCRIPTION)}" has no ${graph} graph with attention "${attention}": ${known}`,
    );
  }
  return join(directory, file);
}
