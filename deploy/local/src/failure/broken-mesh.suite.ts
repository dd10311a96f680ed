import { readFileSync } from 'node:fs';
import {
  connect,
  type Degraded_Reason,
  Mode,
  type OnepassClient,
  type RecommendResponse,
  user,
  View,
} from '@onepass/client';
import { SMOKE_RELEASE } from '@onepass/testing';
import { expect, vi } from 'vitest';
import { Mesh } from '../mesh.js';

export type Role = 'gateway' | 'user-encoder' | 'retrieval' | 'ranking';
type Settings = Record<string, string>;

/** Until when a page must have come, in ms: what is late is late by far, on a busy machine too. */
const DEADLINE_MS = 1_600;
/** For pages that are to be whole. */
const PATIENT_MS = 20_000;
/** For many pages, some of which are late. */
const QUICK_MS = 800;
/** A process that is down stays so: its next starts fail, one after the other. */
const RETRY_MS = 300;

export const PERSON = 'somebody';
/** What every page here is asked under. */
export const CATEGORY = 'ceramics';

/**
 * Four real processes that a test breaks and mends again. Pages are asked for with a fixed "now", so that what is whole is the same each time.
 */
export class BrokenMesh {
  readonly mesh: Mesh;
  readonly onepass: OnepassClient;
  readonly #settings: Record<Role, Settings>;
  /** Some hours ago, so that it is past by every clock. */
  readonly #asOfMs = BigInt(Date.now() - 6 * 3_600_000);
  /** Utilities of all items for `PERSON`, by item, of the whole mesh. */
  #truth = new Map<string, number>();
  /** Retrieval scores of the whole mesh, without and under the filter: an item may come by another query under it. */
  #scores = new Map<string, number>();
  #filteredScores = new Map<string, number>();

  static async start(settings: Partial<Record<Role, Settings>> = {}): Promise<BrokenMesh> {
    const common = { ONEPASS_BUDGET_MS: String(PATIENT_MS), ONEPASS_MODE: 'development' };
    const own = (role: Role): Settings => ({ ...common, ...settings[role] });
    const all = {
      gateway: own('gateway'),
      'user-encoder': own('user-encoder'),
      retrieval: own('retrieval'),
      ranking: own('ranking'),
    };
    const mesh = await Mesh.prepare({
      releaseDir: SMOKE_RELEASE,
      port: undefined,
      dataDir: undefined,
      overrides: all,
      backOff: () => RETRY_MS,
    });
    await mesh.start();
    const broken = new BrokenMesh(mesh, all);
    await broken.#learn();
    return broken;
  }

  private constructor(mesh: Mesh, settings: Record<Role, Settings>) {
    this.mesh = mesh;
    this.#settings = settings;
    this.onepass = connect(mesh.address('gateway'));
  }

  async end(): Promise<void> {
    this.onepass.close();
    for (const pid of Object.values(this.mesh.pids())) process.kill(pid, 'SIGCONT');
    await this.mesh.stop();
  }

  pid(role: Role): number {
    const pid = this.mesh.pids()[role];
    if (pid === undefined) throw new Error(`${role} does not run`);
    return pid;
  }

  signal(role: Role, signal: NodeJS.Signals): void {
    process.kill(this.pid(role), signal);
  }

  /** Killed, and not to come back. */
  async takeDown(role: Role): Promise<void> {
    this.#settings[role].ONEPASS_PORT = 'none';
    this.signal(role, 'SIGKILL');
  }

  /** Killed; comes back with settings beside or instead of those it had. Whole pages are not waited for. */
  async restart(role: Role, settings: Settings): Promise<void> {
    const before = this.mesh.pids()[role];
    Object.assign(this.#settings[role], settings);
    if (before !== undefined) process.kill(before, 'SIGKILL');
    await vi.waitUntil(() => ![undefined, before].includes(this.mesh.pids()[role]), { timeout: PATIENT_MS });
  }

  /** Everything as it was at the start; answers when pages are whole again. */
  async mend(): Promise<void> {
    for (const [role, settings] of Object.entries(this.#settings)) {
      const flagged = settings.ONEPASS_FAULTS !== undefined;
      delete settings.ONEPASS_PORT;
      delete settings.ONEPASS_FAULTS;
      const pid = this.mesh.pids()[role];
      if (pid !== undefined) process.kill(pid, flagged ? 'SIGKILL' : 'SIGCONT');
    }
    await this.untilWhole();
  }

  async untilWhole(): Promise<void> {
    await vi.waitFor(async () => expect(reasonsOf(await this.page())).toEqual([]), {
      timeout: PATIENT_MS,
      interval: 50,
    });
  }

  /**
   * Asks for pages until each of `details` was the only thing that degraded one: in between pages may be whole, or, while the role starts anew,
   * without it.
   */
  async untilSeen(details: readonly string[]): Promise<void> {
    const missing = new Set(details);
    await vi.waitFor(
      async () => {
        const page = await this.page({}, QUICK_MS);
        const [detail, ...more] = detailsOf(page);
        expect(more).toEqual([]);
        missing.delete(detail ?? '');
        expect([...missing]).toEqual([]);
      },
      { timeout: PATIENT_MS, interval: 1 },
    );
  }

  /** A page for `PERSON`; every page is checked for what must hold of it however it came about. */
  async page(more: object = {}, deadlineMs = DEADLINE_MS): Promise<RecommendResponse> {
    const deadline = Date.now() + deadlineMs;
    const page = await this.onepass.recommend({ ...this.#request(), ...more }, { deadlineMs: deadline });
    expect(Date.now()).toBeLessThanOrEqual(deadline);
    checkNumbers(page);
    if (!('person' in more)) this.#compare(page, 'filters' in more);
    return page;
  }

  /** A page under a filter, which holds. */
  async filteredPage(): Promise<RecommendResponse> {
    const page = await this.page({ filters: [filter] });
    expect(page.items.length).toBeGreaterThan(0);
    const { items } = await this.onepass.getItems({ itemIds: page.items.map((item) => item.itemId) });
    expect(items.map((item) => item.attributes.category?.kind.value)).toEqual(items.map(() => CATEGORY));
    return page;
  }

  #request() {
    return { person: user(PERSON), surface: 'home', pageSize: 10, asOfMs: this.#asOfMs, view: View.SCORES };
  }

  /** Gives `PERSON` a history, and asks the whole mesh for everything that is compared with later. */
  async #learn(): Promise<void> {
    const itemIds = allItemIds();
    await this.onepass.logActions({
      person: user(PERSON),
      events: itemIds.slice(0, 12).map((itemId, i) => ({
        eventId: `e${i}`,
        itemId,
        actions: ['click'],
        surface: 'home',
        timeMs: this.#asOfMs - BigInt((20 - i) * 60_000),
      })),
    });
    await this.untilWhole();
    const terms = { ...this.#request(), externalCandidates: itemIds.map((itemId) => ({ itemId })) };
    const scored = await this.onepass.recommend({ ...terms, mode: Mode.SCORE_ONLY });
    this.#truth = new Map(scored.items.map((item) => [item.itemId, item.utility]));
    this.#scores = await this.#retrievalScores({});
    this.#filteredScores = await this.#retrievalScores({ filters: [filter] });
    expect(this.#truth.size).toBe(itemIds.length);
  }

  async #retrievalScores(more: object): Promise<Map<string, number>> {
    const terms = { ...this.#request(), ...more, mode: Mode.RETRIEVE_ONLY, pageSize: 100 };
    const { items } = await this.onepass.recommend(terms);
    return new Map(items.map((item) => [item.itemId, item.utility]));
  }

  #compare(page: RecommendResponse, filtered: boolean): void {
    const reasons = reasonsOf(page);
    // Without the encoder or its past, scores are others, and said to be.
    if (['ENCODER', 'HISTORY', 'SWITCH'].some((reason) => reasons.includes(reason))) return;
    if (reasons.includes('RETRIEVAL') && reasons.includes('RANKING')) return;
    const scores = filtered ? this.#filteredScores : this.#scores;
    const expected = reasons.includes('RANKING') ? scores : this.#truth;
    // Of a part of the shards, other items come, or the same by another query.
    if (expected === scores && reasons.includes('COVERAGE')) return;
    for (const { itemId, utility } of page.items) {
      const right = expected.get(itemId);
      if (right !== undefined) expect(Math.abs(utility - right)).toBeLessThan(1e-4);
    }
  }
}

function checkNumbers({ items }: RecommendResponse): void {
  expect(items.every((item) => [item.utility, ...item.probabilities].every(Number.isFinite))).toBe(true);
  expect(new Set(items.map((item) => item.itemId)).size).toBe(items.length);
}

const filter = { attribute: 'category', condition: { case: 'anyOf', value: { values: [CATEGORY] } } } as const;

const REASONS = ['', 'RANKING', 'ENCODER', 'RETRIEVAL', 'HISTORY', 'COVERAGE', 'SWITCH'];
export const reasonsOf = (page: { degraded: { reason: Degraded_Reason }[] }) =>
  page.degraded.map(({ reason }) => REASONS[reason] ?? String(reason));
export const detailsOf = (page: RecommendResponse) => page.degraded.map((d) => `${REASONS[d.reason]}: ${d.detail}`);

function allItemIds(): string[] {
  const popular: Record<string, string[]> = JSON.parse(readFileSync(`${SMOKE_RELEASE}/items/popular.json`, 'utf8'));
  return popular.home ?? [];
}
