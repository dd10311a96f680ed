import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { OnepassError, startupError } from '@onepass/errors';
import type { AttributesOf, Logger, Measurements } from '@onepass/telemetry';

/** A file, and the setting or option that gave it: every sentence about it names both. */
export interface NamedFile {
  readonly name: string;
  readonly path: string;
}

/** What is made of some files, as of their last content that was good. */
export interface Watched<T> {
  readonly value: T;
  /** Called with every new value. */
  onChange(listener: (value: T) => void): void;
  close(): void;
}

export type WatchedThing = AttributesOf<'onepass.files.replaced'>['onepass.files'];

export interface WatchOptions<T> {
  readonly files: readonly NamedFile[];
  /** All files together, in their order, to one value. @throws OnepassError `startup` */
  readonly parse: (contents: readonly Buffer[]) => T;
  readonly what: WatchedThing;
  readonly everyMs: number;
  readonly logger: Logger;
  readonly measurements: Measurements;
}

/**
 * Reads files and looks at their contents again every `everyMs`: mounts of Kubernetes swap symbolic links, which file events miss. Files
 * are replaced one after the other, so what does not parse leaves the value as it was, is logged once, and is tried again.
 * @throws OnepassError `startup` naming the file, when they are not good at first
 */
export function watchFiles<T>(options: WatchOptions<T>): Watched<T> {
  const { files, parse, everyMs } = options;
  let contents: readonly Buffer[] = files.map(readNow);
  let value = parse(contents);
  const listeners: ((value: T) => void)[] = [];
  const report = reporter(options);
  const look = async () => {
    try {
      const read = await Promise.all(files.map(readSoon));
      if (read.every((bytes, i) => contents[i]?.equals(bytes))) return;
      value = parse(read);
      contents = read;
      for (const listener of listeners) listener(value);
      report.loaded();
    } catch (error) {
      report.failed(OnepassError.from(error));
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const next = () => {
    timer = setTimeout(() => {
      const looking = timer;
      void look().then(() => {
        if (timer === looking) next();
      });
    }, everyMs).unref();
  };
  next();
  return {
    get value() {
      return value;
    },
    onChange: (listener) => listeners.push(listener),
    close: () => {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

function reporter<T>({ what, files, logger, measurements }: WatchOptions<T>) {
  let lastFailure: string | undefined;
  const count = (outcome: 'taken' | 'left') =>
    measurements.count('onepass.files.replaced', { 'onepass.files': what, 'onepass.files.outcome': outcome });
  return {
    loaded() {
      lastFailure = undefined;
      count('taken');
      logger.info({ files: files.map(({ path }) => path) }, `new ${what} in use`);
    },
    failed(error: OnepassError) {
      if (error.message === lastFailure) return;
      lastFailure = error.message;
      count('left');
      logger.warn({ err: error.cause }, `new ${what} not taken: ${error.message}`);
    },
  };
}

function readNow({ name, path }: NamedFile): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(name, error);
  }
}

async function readSoon({ name, path }: NamedFile): Promise<Buffer> {
  return readFile(path).catch((error) => {
    throw unreadable(name, error);
  });
}

/** The system's message names the path. */
function unreadable(name: string, error: unknown): OnepassError {
  return startupError(`${name}: cannot be read: ${(error as Error).message}`, error);
}
