import { fork } from 'node:child_process';
import { once } from 'node:events';
import { received, type SentReference } from './fault-stamps.js';
import type { KvReference } from './index.js';

export interface KilledWriter {
  readonly path: string;
  readonly poolId: string;
  /** Tokens that were published, and that were written in all. */
  readonly published: number;
  readonly written: number;
}

/** Runs fault-writer.program.ts and kills it in the middle of its append. @returns the reference that it had given out */
export async function killInAppend(program: string, terms: KilledWriter): Promise<KvReference> {
  const { path, poolId, published, written } = terms;
  const writer = fork(program, [path, poolId, String(published), String(written)]);
  const [sent] = (await once(writer, 'message')) as [SentReference];
  const ended = once(writer, 'exit');
  writer.kill('SIGKILL');
  await ended;
  return received(sent);
}
