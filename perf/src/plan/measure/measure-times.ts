import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, KvSource, type OnepassClient, user } from '@onepass/client';
import { seededRandom } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { openItems, type Release } from '@onepass/release';
import { slotMiB } from '../../kit/shape/memory.js';
import type { RunningSystem } from '../../kit/systems/running-system.js';
import { commonSettings, startSystem } from '../../kit/systems/systems.js';
import { PageCaller } from '../../kit/where/page-caller.js';
import { describeMachine } from '../../machine.js';
import { type Habits, habitsOf, type MeasuredPage, pageOf, servedShape } from '../../page.js';
import { personId, writeHistories } from '../../people.js';
import { lengthOf } from '../history-length.js';
import {
  type ActionTimes,
  ENCODE_KINDS,
  type EncodeKind,
  type PageTimes,
  type ServiceTimes,
} from '../sim/service-times.js';
import { cpuBetween, type LoopCpu, loopCpu } from '../sim/threads-cpu.js';
import { wakingMs } from './hop.js';

export interface MeasureTerms {
  readonly release: Release;
  readonly releaseDir: string;
  /** For histories and logs. */
  readonly folder: string;
  /** Persons of each of whom a page of every kind is taken apart. */
  readonly people: number;
  /** Newcomers, whose histories are written and encoded. */
  readonly newcomers: number;
  /** Load before anything counts, until the JavaScript is compiled. */
  readonly heatSeconds: number;
  readonly progress: (line: string) => void;
}

/** What a page takes is to be found out, however long that is. */
const PATIENT = { ONEPASS_BUDGET_MS: '10000' };
const SLOTS = 64;
/** People whose KV is held while the load is on, fewer than there are slots. */
const WARM = 32;
/** Pages at a time that keep all cores of a small machine busy. */
const AT_A_TIME = 4;
/** Share of the people that only heat what the load does not: history that is read, actions that are logged. */
const TRIALS = 0.25;
/** Before each page the machine is idle for a while, as it is between the pages of people: cores that slept and caches that others filled make a page cost more. */
const IDLE_MS = 40;
/** As if loads did nothing to pages. */
const UNFITTED = { wakeMs: 0, busySpeed: 1 };
/** Actions that a newcomer brings: as many as in `usualTrace`. */
const NEWCOMER_ACTIONS = 64;
/**
 * Starts system A and asks it for one page at a time, each taken apart by the CPU that every thread used for it. What a load does to them is left to
 * `fitToLoads`.
 * @throws OnepassError `startup` when it does not start, or pages are not what they should be
 */
export async function measureServiceTimes(terms: MeasureTerms): Promise<ServiceTimes> {
  const { release, releaseDir, folder, progress } = terms;
  const shape = servedShape(release);
  const page = pageOf(release);
  const length = lengthOf(release);
  await mkdir(folder, { recursive: true });
  const system = await startSystem('A', {
    ...{ releaseDir, folder, settings: commonSettings(shape, PATIENT) },
    kvMiB: (SLOTS + 1) * slotMiB(shape),
  });
  try {
    const { ids } = await openItems(release);
    const habits = habitsOf(release, page);
    progress(`writing histories of ${WARM + terms.people} people`);
    await writeHistories(system.address, ids, habits, { count: WARM + terms.people, length, nowMs: Date.now() });
    await heat(system, page, terms);
    progress(`taking pages of ${terms.people} people and ${terms.newcomers} newcomers apart`);
    const dissect = new Dissection(system, { page, habits, itemIds: ids, length });
    const trials = Math.floor(terms.people * TRIALS);
    for (let person = 0; person < terms.people; person += 1) {
      // The first ones of each kind still find JavaScript that is not compiled.
      if (person === trials) dissect.drop();
      await dissect.person(personId(WARM + person));
    }
    for (let newcomer = 0; newcomer < terms.newcomers; newcomer += 1) await dissect.newcomer(`newcomer-${newcomer}`);
    dissect.close();
    dissect.requireAll();
    return {
      machine: describeMachine(),
      date: new Date().toISOString(),
      ...{ release: release.id, shape, historyLength: length },
      ...{ hopMs: await wakingMs(), ...UNFITTED },
      pages: dissect.pages,
      actions: dissect.actions,
    };
  } finally {
    await system.stop();
  }
}

/** Pages on held KV until the JavaScript is compiled. */
async function heat(system: RunningSystem, page: MeasuredPage, { heatSeconds, progress }: MeasureTerms): Promise<void> {
  const caller = new PageCaller(system.address, page, WARM);
  try {
    progress(`heating for ${heatSeconds} s`);
    await caller.many(AT_A_TIME, heatSeconds);
  } finally {
    caller.close();
  }
}

interface Content {
  readonly page: MeasuredPage;
  readonly habits: Habits;
  readonly itemIds: readonly string[];
  readonly length: number;
}

const KINDS: Readonly<Partial<Record<KvSource, EncodeKind>>> = {
  [KvSource.SLOT]: 'keep',
  [KvSource.APPEND]: 'append',
  [KvSource.RECOMPUTE]: 'encode',
};

interface Spent {
  readonly clientMs: number;
  readonly wallMs: number;
  readonly cpu: Readonly<Record<string, LoopCpu>>;
}

/** Calls one at a time, each of which is through everywhere before the next. */
class Dissection {
  readonly pages: PageTimes[] = [];
  readonly actions: ActionTimes[] = [];
  readonly #system: RunningSystem;
  readonly #content: Content;
  readonly #onepass: OnepassClient;
  readonly #random = seededRandom(1);
  #events = 0;

  constructor(system: RunningSystem, content: Content) {
    this.#system = system;
    this.#content = content;
    this.#onepass = connect(system.address);
  }

  /** Not held, then held and unchanged, then held and one action behind. */
  async person(id: string): Promise<void> {
    const tokens = { keep: 0, append: 1, encode: this.#content.length };
    await this.#page(id, tokens);
    await this.#page(id, tokens);
    await this.#act(id, 1);
    await this.#page(id, tokens);
  }

  async newcomer(id: string): Promise<void> {
    await this.#act(id, NEWCOMER_ACTIONS);
    await this.#page(id, { keep: 0, append: 1, encode: NEWCOMER_ACTIONS });
  }

  /** @throws OnepassError `startup` when some kind of page was never whole */
  requireAll(): void {
    const missing = ENCODE_KINDS.find((kind) => !this.pages.some((page) => page.kind === kind));
    if (missing !== undefined) throw startupError(`no page of kind ${missing} was whole: the machine is too busy`);
  }

  /** All that was found so far counts nowhere. */
  drop(): void {
    this.pages.length = 0;
    this.actions.length = 0;
  }

  close(): void {
    this.#onepass.close();
  }

  /** @param encoded tokens that are encoded, by what kind of page it turns out to be */
  async #page(id: string, encoded: Readonly<Record<EncodeKind, number>>): Promise<void> {
    // As long as pages that come by chance leave it.
    await delay(-IDLE_MS * Math.log(1 - this.#random()));
    const { answer, spent } = await this.#spent(() =>
      this.#onepass.recommend({ person: user(id), ...this.#content.page }),
    );
    const kind = KINDS[answer.kvSource];
    // Late once, by whatever else the machine did; the next page then makes up for it.
    if (kind === undefined || answer.degraded.length > 0) return;
    const tokens = encoded[kind];
    const { clientMs, wallMs, cpu } = spent;
    const [gateway, encoder, retrieval, ranking] = ['gateway', 'user-encoder', 'retrieval', 'ranking'].map(
      (role) => cpu[role]!,
    ) as [LoopCpu, LoopCpu, LoopCpu, LoopCpu];
    this.pages.push({
      ...{ kind, tokens, wallMs, client: clientMs },
      ...{ gateway: gateway.loop, gatewayBeside: gateway.pool + gateway.other },
      ...{ encoder: encoder.loop, encoderGraph: encoder.pool, encoderBeside: encoder.other },
      ...{ retrieval: retrieval.loop, retrievalBeside: retrieval.pool + retrieval.other },
      ...{ ranking: ranking.loop, rankingGraph: ranking.pool, rankingBeside: ranking.other },
    });
  }

  async #act(id: string, count: number): Promise<void> {
    const { habits, itemIds } = this.#content;
    const events = Array.from({ length: count }, () => {
      const number = this.#events++;
      const itemId = itemIds[number % itemIds.length]!;
      return { eventId: `dissected-${number}`, itemId, actions: [...habits.usual], surface: habits.surface };
    });
    const { spent } = await this.#spent(() => this.#onepass.logActions({ person: user(id), events }));
    const { gateway } = spent.cpu as { gateway: LoopCpu };
    this.actions.push({
      events: count,
      client: spent.clientMs,
      gateway: gateway.loop,
      gatewayBeside: gateway.pool + gateway.other,
    });
  }

  async #spent<T>(call: () => Promise<T>): Promise<{ answer: T; spent: Spent }> {
    const before = await this.#settled();
    const own = process.cpuUsage();
    const since = performance.now();
    const answer = await call();
    const wallMs = performance.now() - since;
    const { user: inUser, system } = process.cpuUsage(own);
    const after = await this.#settled();
    const cpu = Object.fromEntries(Object.keys(before).map((role) => [role, cpuBetween(before[role]!, after[role]!)]));
    return { answer, spent: { clientMs: (inUser + system) / 1000, wallMs, cpu } };
  }

  /** CPU of all processes once none of them uses any: work behind an answer belongs to it. */
  async #settled(): Promise<Record<string, LoopCpu>> {
    let last = this.#read();
    for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
      await delay(SETTLE_MS);
      const now = this.#read();
      if (sumOf(now) - sumOf(last) < SETTLED_MS) return now;
      last = now;
    }
    return last;
  }

  #read(): Record<string, LoopCpu> {
    return Object.fromEntries(Object.entries(this.#system.pids()).map(([role, pid]) => [role, loopCpu(pid)]));
  }
}

const SETTLE_MS = 3;
const SETTLED_MS = 0.05;
const SETTLE_TRIES = 10;

function sumOf(cpu: Readonly<Record<string, LoopCpu>>): number {
  return Object.values(cpu).reduce((sum, { loop, pool, other }) => sum + loop + pool + other, 0);
}
