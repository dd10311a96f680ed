import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import type { ManifestFile } from './manifest.js';

/** Read and hashed at a time: large enough to be fast, small enough to leave the event loop within a millisecond or two. */
const CHUNK_BYTES = 1 << 20;

/** Size and SHA-256 of a file. @param what the directory is, for the sentence. @throws OnepassError `startup` naming the file. */
export async function checksum(directory: string, path: string, what = 'release'): Promise<ManifestFile> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(join(directory, path));
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, bytes);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return { path, bytes, sha256: hash.digest('hex') };
  } catch (error) {
    throw unreadable(directory, path, error, what);
  } finally {
    await handle?.close();
  }
}

/** @throws OnepassError `startup` naming the file that is missing, of another size, or altered. */
export async function verifyFile(directory: string, expected: ManifestFile): Promise<void> {
  const actual = await checksum(directory, expected.path);
  const where = `release ${directory}: ${expected.path}`;
  if (actual.bytes !== expected.bytes) {
    throw startupError(`${where} has ${actual.bytes} bytes, the manifest says ${expected.bytes}: it is damaged`);
  }
  if (actual.sha256 !== expected.sha256) {
    throw startupError(`${where} does not have the checksum that the manifest says: it was altered or is damaged`);
  }
}

/** A whole file in memory of its own, so that it can be viewed as any typed array. */
export async function readBytes(directory: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(join(directory, path));
    const bytes = new Uint8Array((await handle.stat()).size);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, at);
      if (bytesRead === 0) throw new Error('ends early');
      at += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw unreadable(directory, path, error);
  } finally {
    await handle?.close();
  }
}

/** A JSON file, not yet checked. @throws OnepassError `startup` naming the file. */
export async function readJson(directory: string, path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(join(directory, path), 'utf8');
  } catch (error) {
    throw unreadable(directory, path, error);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw startupError(`release ${directory}: ${path} is not valid JSON`, error);
  }
}

function unreadable(directory: string, path: string, error: unknown, of = 'release'): Error {
  const code = (error as NodeJS.ErrnoException).code;
  const what = code === 'ENOENT' || code === 'ENOTDIR' ? 'is missing' : `cannot be read (${code ?? String(error)})`;
  return startupError(`${of} ${directory}: ${path} ${what}`, error);
}
