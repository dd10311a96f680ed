import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorDetail, OnepassError, startupError } from '@onepass/errors';
import { contractMethods } from './contract-methods.js';
import { WRONGS, type Wrong } from './wrong-answers.js';

/** Breaks calls on purpose, for drills. Off unless a process is told otherwise, and never in production mode. */
export interface Faults {
  /** Before a call is handled: may wait, or reject with the error to be answered. */
  before(method: string, signal: AbortSignal): Promise<void> | undefined;
  /** The response to be sent in place of `response`. */
  after<T extends object>(method: string, response: T): T;
}

/** Errors that a call can be made to fail with. */
const ERRORS = {
  unavailable: { kind: 'unavailable' },
  overloaded: { kind: 'overloaded', retryAfterMs: 100 },
  deadline_exceeded: { kind: 'deadline_exceeded' },
  invalid_argument: { kind: 'invalid_argument', violations: [{ field: 'fault', description: 'a failure flag' }] },
  kv_miss: { kind: 'kv_miss', reason: 'a failure flag' },
  internal: { kind: 'internal' },
} satisfies Record<string, ErrorDetail>;

/** What is done to the calls of one method, or to the searches of one shard. */
export interface Fault {
  readonly point: string;
  /** Of the calls, how many: in (0, 1]. */
  readonly share: number;
  readonly delayMs: number;
  /** Never answers, until the caller gives up. */
  readonly hang: boolean;
  readonly error: ErrorDetail | undefined;
  readonly wrong: Wrong | undefined;
}

export interface FaultPlan {
  readonly faults: readonly Fault[];
  readonly seed: number;
}

/**
 * `Rank:delay=500ms:share=0.5;Search:error=unavailable;Leaf0:hang;seed=7`: for each method (or `LeafN`, a shard) what goes wrong, and for
 * what share of its calls.
 * @throws Error whose message ends the sentence "ONEPASS_FAULTS: ..."
 */
export function parseFaults(raw: string): FaultPlan {
  const parts = raw
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const seeds = parts.filter((part) => part.startsWith('seed='));
  return {
    faults: parts.filter((part) => !seeds.includes(part)).map(parseFault),
    seed: seeds.length === 0 ? 1 : number(seeds.at(-1)!, 0, 2 ** 32 - 1),
  };
}

function parseFault(part: string): Fault {
  const [point = '', ...options] = part.split(':').map((word) => word.trim());
  if (!contractMethods.has(point) && !/^Leaf\d+$/.test(point)) {
    throw new Error(`"${point}" is neither a method of the contract nor LeafN, a shard of retrieval`);
  }
  let fault: Fault = { point, share: 1, delayMs: 0, hang: false, error: undefined, wrong: undefined };
  for (const option of options) fault = { ...fault, ...parseOption(option) };
  if (fault.delayMs === 0 && !fault.hang && !fault.error && !fault.wrong) throw new Error(`${part}: says no fault`);
  return fault;
}

function parseOption(option: string): Partial<Fault> {
  const [name = '', value = ''] = option.split('=');
  if (name === 'hang') return { hang: true };
  if (name === 'delay') return { delayMs: number(option.replace(/ms$/, ''), 1, 600_000) };
  if (name === 'share') return { share: share(option) };
  if (name === 'error') {
    if (Object.hasOwn(ERRORS, value)) return { error: ERRORS[value as keyof typeof ERRORS] };
    throw new Error(`${option}: errors are ${Object.keys(ERRORS).join(', ')}`);
  }
  if (Object.hasOwn(WRONGS, option)) return { wrong: WRONGS[option as keyof typeof WRONGS] };
  throw new Error(`"${option}" is none of delay=Nms, hang, error=KIND, ${Object.keys(WRONGS).join(', ')}, share=S`);
}

function share(option: string): number {
  const value = number(option, 0, 1);
  if (value === 0) throw new Error(`${option}: must be more than 0`);
  return value;
}

/** Of `name=value`. */
function number(option: string, minimum: number, maximum: number): number {
  const value = Number(option.split('=')[1] || Number.NaN);
  if (value >= minimum && value <= maximum) return value;
  throw new Error(`${option}: must be a number from ${minimum} to ${maximum}`);
}

/**
 * Undefined where nothing is to go wrong.
 * @throws OnepassError `startup` in production mode
 */
export function openFaults({ faults, seed }: FaultPlan, mode: 'development' | 'production'): Faults | undefined {
  if (faults.length === 0) return undefined;
  if (mode === 'production') {
    throw startupError('ONEPASS_FAULTS breaks calls on purpose and is refused unless ONEPASS_MODE is development');
  }
  const random = seededRandom(seed);
  const spoiling = faults.filter(({ wrong }) => wrong !== undefined);
  const hindering = faults.filter(({ delayMs, hang, error }) => delayMs > 0 || hang || error !== undefined);
  const struck = (of: readonly Fault[], point: string) =>
    of.filter((fault) => fault.point === point && random() < fault.share);
  return {
    before: (method, signal) => {
      const hit = struck(hindering, method);
      return hit.length === 0 ? undefined : suffer(hit, signal);
    },
    after: (method, response) =>
      struck(spoiling, method).reduce((answer, { wrong }) => wrong?.(answer) ?? answer, response),
  };
}

async function suffer(faults: readonly Fault[], signal: AbortSignal): Promise<void> {
  for (const { delayMs, hang, error } of faults) {
    if (delayMs > 0 || hang) {
      await delay(hang ? 2 ** 31 - 1 : delayMs, undefined, { signal, ref: false }).catch(() => {
        throw OnepassError.from(signal.reason);
      });
    }
    if (error) throw new OnepassError(error, `${error.kind} by a failure flag`);
  }
}

/** Small seeded generator (Tommy Ettinger's mulberry32), numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
