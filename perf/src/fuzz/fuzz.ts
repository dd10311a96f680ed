import { readFileSync } from 'node:fs';
import { type DescMethod, fromBinary, type Message } from '@bufbuild/protobuf';
import { connect, type RecommendResponse, user } from '@onepass/client';
import { isServing, methodPath, SERVICES_OF_ROLE, seededRandom } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import type { Mesh } from '@onepass/local';
import { goodMessages } from './good-messages.js';
import { hostileMessage } from './hostile-messages.js';
import { type RawConnection, rawConnection } from './raw-call.js';

/** What became of a flood of hostile messages. */
export interface FuzzResult {
  readonly messages: number;
  /** Processes that ended. */
  readonly crashes: number;
  /** Calls without an answer by their deadline. */
  readonly hangs: number;
  /** Calls answered INTERNAL, UNKNOWN, or anything that bad input is no reason for. */
  readonly internal: number;
  /** OK answers of the gateway with a number that is none. */
  readonly nanAnswers: number;
  /** Pages on which a stage failed: what it was asked should have been refused before. */
  readonly failedStages: number;
  /** By role, memory that no file is behind, in MiB: at the start, half-way and at the end. */
  readonly memoryMib: Readonly<Record<string, readonly number[]>>;
  /** From half-way to the end, of the process that grew most: what is kept on purpose is full by then. */
  readonly memoryGrowthMib: number;
  /** The longest that a call took, of those whose message one window holds. */
  readonly slowestMs: number;
  /** Calls by role and status, and a few of the bad ones. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly slowest: string;
  readonly examples: readonly string[];
}

/** Four servers and the sender may share two cores with others. */
const PATIENCE_MS = 10_000;
/** What grpc-js's servers read at once: a larger message takes turns with all the others, once for each window of it. */
const WINDOW_BYTES = 65_535;
/** Calls at one time to each server. */
const IN_FLIGHT = 8;
const EXAMPLES = 20;
/** OK, and what a caller's mistake or much work may be answered with. */
const ALLOWED = new Map([
  [0, 'OK'],
  [3, 'INVALID_ARGUMENT'],
  [5, 'NOT_FOUND'],
  [8, 'RESOURCE_EXHAUSTED'],
  [9, 'FAILED_PRECONDITION'],
  [12, 'UNIMPLEMENTED'],
  [14, 'UNAVAILABLE'],
]);
const DEADLINE_EXCEEDED = 4;

type Role = keyof typeof SERVICES_OF_ROLE;

interface Target {
  readonly role: Role;
  readonly method: DescMethod;
  readonly good: readonly Uint8Array[];
}

/**
 * Sends `count` hostile messages, the same ones for the same seed, to every method of every server of a mesh on the smoke release, and looks
 * whether all of it still stands.
 * @throws OnepassError `startup` when a good page is another one afterwards, or a server does not say that it serves
 */
export async function fuzz(mesh: Mesh, { count, seed }: { count: number; seed: number }): Promise<FuzzResult> {
  const tally = new Tally();
  const before = await controlPage(mesh);
  const pids = mesh.pids();
  const good = await goodMessages(mesh);
  const roles = Object.keys(SERVICES_OF_ROLE) as Role[];
  const targets = roles.flatMap((role) =>
    SERVICES_OF_ROLE[role].flatMap((service) =>
      service.methods.map((method): Target => ({ role, method, good: good.get(methodPath(method)) ?? [] })),
    ),
  );
  const connections = new Map(roles.map((role) => [role, rawConnection(mesh.address(role))]));
  const send = async (of: readonly Target[], from: number, to: number) => {
    let next = from;
    const sender = async () => {
      for (let i = next++; i < to; i = next++) {
        // Methods with something to find have good messages; the others are asked less often.
        const random = seededRandom(seed + i);
        const rich = of.filter((target) => target.good.length > 0);
        const among = random() < 0.9 && rich.length > 0 ? rich : of;
        const target = among[Math.floor(random() * among.length)];
        if (target) await tally.one(target, connections.get(target.role), random);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, sender));
  };
  const share = Math.ceil(count / roles.length);
  const toAll = (from: number, to: number) =>
    Promise.all(
      roles.map((role, i) => {
        const own = targets.filter((target) => target.role === role);
        return send(own, i * share + from, i * share + to);
      }),
    );
  const half = Math.ceil(share / 2);
  const memory = [memoryOf(pids)];
  await toAll(0, half);
  memory.push(memoryOf(pids));
  await toAll(half, share);
  memory.push(memoryOf(pids));
  const memoryMib = Object.fromEntries(roles.map((role) => [role, memory.map((mib) => mib[role] ?? Number.NaN)]));
  const memoryGrowthMib = Math.max(...Object.values(memoryMib).map(([, middle = 0, end = 0]) => end - middle));
  for (const connection of connections.values()) connection.close();
  const now = mesh.pids();
  const crashes = Object.keys(pids).filter((role) => now[role] !== pids[role]).length;
  for (const role of roles) {
    if (!(await isServing(mesh.address(role), PATIENCE_MS)))
      throw startupError(`${role} does not serve after the flood`);
  }
  const after = await controlPage(mesh);
  if (!isSame(before, after)) throw startupError('a good request is answered otherwise after the flood');
  return { ...tally.result(), crashes, memoryMib, memoryGrowthMib };
}

/** What of all the answers is counted. */
class Tally {
  readonly #statuses: Record<string, number> = {};
  readonly #examples: string[] = [];
  #messages = 0;
  #slowestMs = 0;
  #slowest = '';
  #hangs = 0;
  #internal = 0;
  #nanAnswers = 0;
  #failedStages = 0;

  async one(
    { role, method, good }: Target,
    connection: RawConnection | undefined,
    random: () => number,
  ): Promise<void> {
    const parse = (bytes: Uint8Array) => fromBinary(method.input, bytes);
    const bytes = hostileMessage(method.input, good, random, parse);
    const started = performance.now();
    const answer = await connection?.call(methodPath(method), bytes, PATIENCE_MS);
    const tookMs = performance.now() - started;
    if (tookMs > this.#slowestMs && bytes.length <= WINDOW_BYTES) {
      this.#slowestMs = tookMs;
      this.#slowest = this.#shown('slowest', method, bytes);
    }
    const status = answer?.status;
    this.#messages++;
    const name = status === undefined ? 'none' : (ALLOWED.get(status) ?? String(status));
    const key = `${role}: ${name}`;
    this.#statuses[key] = (this.#statuses[key] ?? 0) + 1;
    if (status === undefined || status === DEADLINE_EXCEEDED) this.#hangs += this.#bad('no answer', method, bytes);
    else if (!ALLOWED.has(status)) this.#internal += this.#bad(`status ${status}`, method, bytes);
    if (role !== 'gateway' || answer?.message === undefined) return;
    const reply = fromBinary(method.output, answer.message);
    if (hasNaN(reply)) this.#nanAnswers += this.#bad('not a number', method, bytes);
    const failed = degradedOf(reply).find((detail) => / failed$/.test(detail));
    if (failed !== undefined) this.#failedStages += this.#bad(failed, method, bytes);
  }

  #bad(what: string, method: DescMethod, bytes: Uint8Array): 1 {
    if (this.#examples.length < EXAMPLES) {
      this.#examples.push(this.#shown(what, method, bytes));
    }
    return 1;
  }

  #shown(what: string, method: DescMethod, bytes: Uint8Array): string {
    return `${what}: ${method.name}, ${bytes.length} bytes: ${Buffer.from(bytes.subarray(0, 2_000)).toString('base64')}`;
  }

  result() {
    return {
      messages: this.#messages,
      slowestMs: this.#slowestMs,
      hangs: this.#hangs,
      internal: this.#internal,
      nanAnswers: this.#nanAnswers,
      failedStages: this.#failedStages,
      statuses: this.#statuses,
      slowest: this.#slowest,
      examples: this.#examples,
    };
  }
}

function degradedOf(reply: Message): string[] {
  const { degraded = [] } = reply as Message & { degraded?: { detail: string }[] };
  return degraded.map(({ detail }) => detail);
}

function hasNaN(value: unknown): boolean {
  if (typeof value === 'number') return Number.isNaN(value);
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  return Object.values(value).some(hasNaN);
}

/** A page of somebody whom no hostile message names, at a time of its own. */
async function controlPage(mesh: Mesh): Promise<RecommendResponse> {
  const onepass = connect(mesh.address('gateway'));
  const person = user('control');
  const timeMs = BigInt(Date.UTC(2026, 0));
  try {
    const event = { eventId: 'only', itemId: 'i00100', actions: ['click'], surface: 'home', timeMs };
    await onepass.logActions({ person, events: [event] });
    for (let tries = 0; tries < 20; tries++) {
      const page = await onepass.recommend({ person, surface: 'home', asOfMs: timeMs + 86_400_000n });
      if (page.degraded.length === 0) return page;
    }
    throw startupError('a good request is not answered with a whole page');
  } finally {
    onepass.close();
  }
}

function isSame(a: RecommendResponse, b: RecommendResponse): boolean {
  const told = ({ items }: RecommendResponse) =>
    JSON.stringify(items.map(({ itemId, utility }) => [itemId, utility.toFixed(4)]));
  return told(a) === told(b);
}

/** Memory of each process that no file is behind, in MiB. */
function memoryOf(pids: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(pids).map(([role, pid]) => {
      const [, kib] = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return [role, Number(kib ?? Number.NaN) / 1024];
    }),
  );
}
