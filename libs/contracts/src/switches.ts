import { readFile } from 'node:fs/promises';
import { startupError } from '@onepass/errors';
import type { Logger, Measurements } from '@onepass/telemetry';

/** What can be switched while a process runs; docs/operations.md says what each does. */
export const SWITCHES = ['popular_only', 'kv_reuse_off', 'tier_off', 'events_read_only', 'drain'] as const;
export type SwitchName = (typeof SWITCHES)[number];

/** Kill switches, as a file says them at this moment. */
export interface Switches {
  isOn(name: SwitchName): boolean;
  /** Calls `listener` after every change of any switch. */
  onChange(listener: () => void): void;
  close(): void;
}

/** A value, so that no caller asks whether there are switches. */
export const NO_SWITCHES: Switches = { isOn: () => false, onChange() {}, close() {} };

const POLL_MS = 250;

/**
 * Reads `file` now and again four times a second: a JSON object of switch names and booleans. A file that is absent says that all are off; one
 * that is broken changes nothing and is logged.
 * @throws OnepassError `startup` when the file is broken at start
 */
export async function openSwitches(file: string, logger: Logger, measurements: Measurements): Promise<Switches> {
  const listeners: (() => void)[] = [];
  let on = await read(file).catch((error) => {
    throw startupError(`ONEPASS_SWITCHES: ${file} ${error.message}`, error);
  });
  const say = (name: SwitchName) => logger.warn({ switch: name, on: on.has(name) }, 'a kill switch was turned');
  for (const name of on) say(name);
  const count = (outcome: 'taken' | 'left') =>
    measurements.count('onepass.files.replaced', { 'onepass.files': 'switches', 'onepass.files.outcome': outcome });
  let problem: string | undefined;
  const look = async () => {
    const before = on;
    try {
      on = await read(file);
      problem = undefined;
    } catch (error) {
      const { message } = error as Error;
      if (message !== problem) {
        count('left');
        logger.error({ file, why: message }, 'the file of switches is broken: they stay as they are');
      }
      problem = message;
    }
    const turned = SWITCHES.filter((name) => on.has(name) !== before.has(name));
    for (const name of turned) say(name);
    if (turned.length === 0) return;
    count('taken');
    for (const listener of listeners) listener();
  };
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  const again = () => {
    if (!closed) timer = setTimeout(() => void look().then(again), POLL_MS).unref();
  };
  again();
  for (const name of SWITCHES) {
    measurements.observe('onepass.switch', () => Number(on.has(name)), { 'onepass.switch.name': name });
  }
  return {
    isOn: (name) => on.has(name),
    onChange: (listener) => void listeners.push(listener),
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** @throws Error whose message says of the file what is wrong with it */
async function read(file: string): Promise<ReadonlySet<SwitchName>> {
  try {
    return parseSwitches(await readFile(file, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return new Set();
    throw code === undefined ? error : new Error(`cannot be read: ${message}`);
  }
}

function parseSwitches(text: string): ReadonlySet<SwitchName> {
  const shape = `must be a JSON object of true or false by ${SWITCHES.join(', ')}`;
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    throw new Error(shape);
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said)) throw new Error(shape);
  for (const [name, value] of Object.entries(said)) {
    if (!SWITCHES.includes(name as SwitchName)) throw new Error(`${shape}; there is no ${JSON.stringify(name)}`);
    if (typeof value !== 'boolean') throw new Error(`${shape}; ${name} is neither`);
  }
  return new Set(SWITCHES.filter((name) => (said as Record<string, boolean>)[name]));
}
