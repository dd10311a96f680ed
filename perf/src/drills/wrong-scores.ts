import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, Degraded_Reason, KvSource, Mode, type OnepassClient, OnepassError, user } from '@onepass/client';
import { seededRandom } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { Mesh, repositoryRoot } from '@onepass/local';
import type { Drill, DrillTerms } from './drill.js';

const SECONDS = 120;
const SMOKE_SECONDS = 6;
const PEOPLE = 64;
/** Fewer than the smoke release's window of 32, so that KV that was appended to is that of all actions, as KV made at once is. */
const MOST_EVENTS = 28;
const FIRST_EVENTS = 8;
const READERS = 8;
const WRITERS = 4;
const KILL_EVERY_MS = 2_500;
const ROLES = ['user-encoder', 'ranking', 'retrieval', 'gateway'] as const;
/** "Equal": within this of a probability. A utility weighs several. */
const PROBABILITY_TOLERANCE = 1e-4;
const UTILITY_TOLERANCE = 1e-3;

/** Few slots that rest shortly, so that they change hands all the time; stages that are late, wrong or gone. */
const BUDGET_MS = 400;
const CHURN = {
  gateway: { ONEPASS_BUDGET_MS: String(BUDGET_MS) },
  'user-encoder': {
    ONEPASS_KV_SLOTS: '24',
    ONEPASS_KV_REST_MS: String(BUDGET_MS),
    // Who gave way, or whose user-encoder was killed, is brought back.
    ONEPASS_WARM_TIER: 'disk',
    ONEPASS_FAULTS: 'Encode:delay=100ms:share=0.05;Encode:wrong_release:share=0.01;Encode:nan:share=0.01',
  },
  retrieval: { ONEPASS_FAULTS: 'Leaf0:error=unavailable:share=0.05;Search:nan:share=0.02' },
  ranking: {
    // Late ranks read slots that others may have taken meanwhile.
    ONEPASS_FAULTS:
      'Rank:delay=120ms:share=0.1;Rank:error=kv_miss:share=0.05;Rank:nan:share=0.02;Rank:short:share=0.01',
  },
};

/** One page as it was served, as far as it must be right. */
interface Served {
  readonly person: number;
  /** Of the history that it says it was made from; 0: none. */
  readonly sequence: number;
  readonly asOfMs: bigint;
  readonly source: KvSource;
  readonly items: readonly { itemId: string; utility: number; probabilities: readonly number[] }[];
}

export const wrongScores: Drill = {
  name: 'wrong-scores',
  says: 'kills, delays and falsifies stages while few KV slots serve many people: every score served is made again and compared',
  run: async (terms) => {
    const release = terms.smoke ? 'libs/testing/fixtures/release-smoke' : 'releases/default';
    const releaseDir = join(repositoryRoot, release);
    const churned = await churn(releaseDir, terms);
    const checked = await compare(releaseDir, churned.served, churned.eventOf);
    const { served, kills } = churned;
    const from = (source: KvSource) => served.filter((page) => page.source === source).length;
    const sources = [KvSource.EMPTY, KvSource.SLOT, KvSource.APPEND, KvSource.TIER, KvSource.RECOMPUTE];
    terms.progress(`pages by KV source: ${sources.map((source) => `${KvSource[source]} ${from(source)}`).join(', ')}`);
    terms.progress(`largest difference of a probability: ${checked.largest.toExponential(1)}`);
    if (checked.scores === 0) throw startupError('no score was served that could be checked');
    return {
      wrong_scores: checked.wrong,
      wrong_scores_checked: checked.scores,
      wrong_scores_pages: served.length,
      wrong_scores_degraded_pages: churned.unranked,
      wrong_scores_kills: kills,
    };
  },
};

type EventOf = (person: number, number: number) => ReturnType<typeof eventOf>;

const personId = (person: number) => `churn-${person}`;

/** Action `number`, from 0, of a person: all that the person's scores depend on. */
function eventOf(itemIds: readonly string[], base: bigint, person: number, number: number) {
  const itemId = itemIds[(person * 7 + number * 13) % itemIds.length] ?? '';
  const actions = number % 5 === 4 ? ['click', 'save'] : ['click'];
  return { eventId: `${number}`, itemId, actions, surface: 'home', timeMs: base + BigInt(number) * 60_000n };
}

async function churn(releaseDir: string, { smoke, progress }: DrillTerms) {
  const mesh = await Mesh.prepare({
    releaseDir,
    port: undefined,
    dataDir: undefined,
    overrides: CHURN,
    backOff: () => 100,
  });
  const random = seededRandom(1);
  const served: Served[] = [];
  let unranked = 0;
  let kills = 0;
  try {
    await mesh.start();
    const onepass = connect(mesh.address('gateway'));
    const { items } = await patiently(() => onepass.recommend({ surface: 'home', pageSize: 100 }));
    const itemIds = items.map((item) => item.itemId);
    const base = BigInt(Date.now() - 86_400_000);
    const event: EventOf = (person, number) => eventOf(itemIds, base, person, number);
    const write = async (first: number, number: number) => {
      for (let person = first; person < PEOPLE; person += WRITERS) {
        const action = { person: user(personId(person)), events: [event(person, number)] };
        // The same event until it is acknowledged, so that event n is sequence n + 1.
        await patiently(() => onepass.logActions(action));
      }
    };
    const writers = Array.from({ length: WRITERS }, (_, i) => i);
    for (let number = 0; number < FIRST_EVENTS; number++) await Promise.all(writers.map((i) => write(i, number)));
    const end = Date.now() + (smoke ? SMOKE_SECONDS : SECONDS) * 1_000;
    const pause = (end - Date.now()) / (MOST_EVENTS - FIRST_EVENTS);
    const writer = async (first: number) => {
      for (let number = FIRST_EVENTS; number < MOST_EVENTS && Date.now() < end; number++) {
        await write(first, number);
        await delay(pause);
      }
    };
    const reader = async () => {
      while (Date.now() < end) {
        const page = await servedPage(onepass, Math.floor(random() * PEOPLE)).catch(unlessNormal);
        if (page !== undefined) served.push(page);
        else unranked++;
      }
    };
    const killer = async () => {
      while (Date.now() + KILL_EVERY_MS < end) {
        await delay(KILL_EVERY_MS);
        const pid = mesh.pids()[ROLES[kills % ROLES.length] ?? ''];
        if (pid !== undefined) process.kill(pid, 'SIGKILL');
        kills++;
      }
    };
    const all = [killer(), ...writers.map(writer), ...Array.from({ length: READERS }, reader)];
    await Promise.all(all);
    onepass.close();
    progress(`${served.length} ranked pages, ${unranked} others, ${kills} kills`);
    return { served, unranked, kills, eventOf: event };
  } finally {
    await mesh.stop();
  }
}

/** Undefined when the page was not ranked. */
async function servedPage(onepass: OnepassClient, person: number): Promise<Served | undefined> {
  const asOfMs = BigInt(Date.now());
  const page = await onepass.recommend({ person: user(personId(person)), surface: 'home', pageSize: 20, asOfMs });
  if (page.degraded.some(({ reason }) => reason === Degraded_Reason.RANKING)) return undefined;
  const sequence = page.kvSource === KvSource.EMPTY ? 0 : Number(page.historySequence);
  return { person, sequence, asOfMs, source: page.kvSource, items: page.items };
}

const NORMAL = ['unavailable', 'deadline_exceeded', 'overloaded', 'cancelled'];

function unlessNormal(thrown: unknown): undefined {
  if (!NORMAL.includes(OnepassError.from(thrown).kind)) throw thrown;
}

async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (thrown) {
      unlessNormal(thrown);
      await delay(20);
    }
  }
}

/** Plays every history again on a mesh that nothing disturbs, which encodes each page's anew, and scores the page's items there. */
async function compare(releaseDir: string, served: readonly Served[], event: EventOf) {
  const folder = mkdtempSync(join(tmpdir(), 'onepass-drill-scores-'));
  const switches = join(folder, 'switches.json');
  writeFileSync(switches, JSON.stringify({ kv_reuse_off: true }));
  const overrides = {
    gateway: { ONEPASS_BUDGET_MS: '10000' },
    'user-encoder': { ONEPASS_SWITCHES: switches, ONEPASS_KV_REST_MS: '0' },
  };
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined, overrides });
  const result = { scores: 0, wrong: 0, largest: 0 };
  try {
    await mesh.start();
    const onepass = connect(mesh.address('gateway'));
    for (let person = 0; person < PEOPLE; person++) {
      const pages = served.filter((page) => page.person === person).sort((a, b) => a.sequence - b.sequence);
      let written = 0;
      for (const page of pages) {
        for (; written < page.sequence; written++) {
          await onepass.logActions({ person: user(personId(person)), events: [event(person, written)] });
        }
        const right = await scores(onepass, page);
        for (const item of page.items) {
          result.scores++;
          const difference = differenceOf(item, right.get(item.itemId));
          result.largest = Math.max(result.largest, difference.probability);
          const isRight = difference.probability <= PROBABILITY_TOLERANCE && difference.utility <= UTILITY_TOLERANCE;
          if (!isRight) result.wrong++;
        }
      }
    }
    onepass.close();
    return result;
  } finally {
    await mesh.stop();
    rmSync(folder, { recursive: true });
  }
}

async function scores(onepass: OnepassClient, { person, sequence, asOfMs, items }: Served) {
  const scored = await onepass.recommend({
    ...(sequence > 0 && { person: user(personId(person)) }),
    surface: 'home',
    mode: Mode.SCORE_ONLY,
    asOfMs,
    externalCandidates: items.map(({ itemId }) => ({ itemId })),
  });
  if (sequence > 0 && scored.kvSource !== KvSource.RECOMPUTE)
    throw startupError('a score to compare with used held KV');
  return new Map(scored.items.map((item) => [item.itemId, item]));
}

type Scored = Served['items'][number];

function differenceOf(item: Scored, right: Scored | undefined): { probability: number; utility: number } {
  const differences = item.probabilities.map((p, i) => Math.abs(p - (right?.probabilities[i] ?? Number.NaN)));
  const probability = differences.some(Number.isNaN) ? Infinity : Math.max(...differences);
  return { probability, utility: Math.abs(item.utility - (right?.utility ?? Infinity)) };
}
