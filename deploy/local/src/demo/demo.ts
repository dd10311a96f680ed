import { randomUUID } from 'node:crypto';
import { type OnepassClient, OnepassError, type RecommendResponse, user } from '@onepass/client';
import { type PageRow, pageFacts, pageRows, pageTable } from './page-view.js';
import type { Screen } from './screen.js';

/** What the demo showed, for those who want to check it. */
export interface DemoResult {
  readonly person: string;
  readonly home: RecommendResponse;
  readonly related: RecommendResponse | undefined;
  /** Undefined where the release has no query tower. */
  readonly search: RecommendResponse | undefined;
  readonly saved: readonly string[];
  readonly homeAfter: RecommendResponse;
}

const PERSON = 'demo';
const SHOWN = 8;
const SAVES = 3;
const TRIES = 10;

/** The main job: pages for a person, then actions of that person and the page that they change. */
export async function runDemo(onepass: OnepassClient, screen: Screen): Promise<DemoResult> {
  const visit = new Visit(onepass, screen, await vocabularyOf(onepass));
  const firstLook = await visit.wholePage({ surface: visit.home });
  if (firstLook.page.historySequence === 0n) await visit.becomeSomebody(firstLook);

  const home = await visit.wholePage({ surface: visit.home });
  visit.show(`Home page of "${PERSON}"`, home);
  const related = await visit.showRelated(home);
  const search = await visit.showSearch(home);
  const saved = await visit.saveSomethingElse(home);
  const homeAfter = await visit.page({ surface: visit.home });
  visit.showChange(home, homeAfter, saved);
  const savedIds = saved.map((row) => row.itemId);
  return {
    person: PERSON,
    home: home.page,
    related: related?.page,
    search: search?.page,
    saved: savedIds,
    homeAfter: homeAfter.page,
  };
}

interface Vocabulary {
  readonly surfaces: readonly string[];
  /** What stands for liking an item. */
  readonly action: string;
  readonly categoryAttribute: string | undefined;
  readonly pageSize: number;
}

async function vocabularyOf(onepass: OnepassClient): Promise<Vocabulary> {
  const described = await onepass.describe({});
  const best = described.actions.filter((a) => !a.negative).sort((a, b) => b.utilityWeight - a.utilityWeight);
  return {
    surfaces: described.surfaces,
    action: best.find((a) => a.name === 'save')?.name ?? best[0]?.name ?? '',
    categoryAttribute: described.attributes.find((name) => name === 'category') ?? described.attributes[0],
    pageSize: Math.min(50, described.limits?.pageSize || 20),
  };
}

interface PageRequest {
  readonly surface: string;
  /** What a related page is about. */
  readonly itemIds?: string[];
  /** What a search is for. */
  readonly text?: string;
  /** Only items of this category. */
  readonly category?: string;
}

interface Seen {
  readonly page: RecommendResponse;
  readonly rows: readonly PageRow[];
  readonly tookMs: number;
}

/** The demo person's visit. */
class Visit {
  readonly home: string;
  readonly #onepass: OnepassClient;
  readonly #screen: Screen;
  readonly #vocabulary: Vocabulary;
  /** Every page must have seen what was logged before it. */
  #sequence = 0n;

  constructor(onepass: OnepassClient, screen: Screen, vocabulary: Vocabulary) {
    this.#onepass = onepass;
    this.#screen = screen;
    this.#vocabulary = vocabulary;
    this.home = vocabulary.surfaces.find((s) => s === 'home') ?? vocabulary.surfaces[0] ?? '';
  }

  /** A page without degraded stages, if one is to be had: the first pages after a start may be late. */
  async wholePage(request: PageRequest): Promise<Seen> {
    let seen = await this.page(request);
    for (let tries = 1; seen.page.degraded.length > 0 && tries < TRIES; tries += 1) seen = await this.page(request);
    return seen;
  }

  async page({ surface, itemIds, text, category }: PageRequest): Promise<Seen> {
    const attribute = this.#vocabulary.categoryAttribute;
    const since = performance.now();
    const page = await this.#onepass.recommend({
      person: user(PERSON),
      surface,
      pageSize: this.#vocabulary.pageSize,
      minimumHistorySequence: this.#sequence,
      ...(itemIds ? { context: { case: 'related', value: { itemIds } } } : {}),
      ...(text ? { context: { case: 'search', value: { query: { case: 'text', value: text } } } } : {}),
      ...(attribute && category
        ? { filters: [{ attribute, condition: { case: 'anyOf', value: { values: [category] } } }] }
        : {}),
    });
    const tookMs = performance.now() - since;
    const { items } = await this.#onepass.getItems({ itemIds: page.items.map((item) => item.itemId) });
    const byId = new Map(items.map((item) => [item.id, item]));
    return { page, rows: pageRows(page, byId, this.#vocabulary.categoryAttribute), tookMs };
  }

  /** Gives a person without history a little of it. */
  async becomeSomebody(look: Seen): Promise<void> {
    const liked = sameCategory(look.rows, look.rows[0]?.category ?? '');
    await this.#log(look, liked);
    this.#screen.line(
      `"${PERSON}" is new here and begins with ${this.#inWords(liked)} of ${liked[0]?.category || 'items'}.`,
    );
  }

  /** Saves a few items of a category that does not lead the page. */
  async saveSomethingElse(home: Seen): Promise<readonly PageRow[]> {
    const leading = home.rows[0]?.category ?? '';
    const other = home.rows.find((row) => row.category !== leading)?.category ?? leading;
    const offered = await this.wholePage({ surface: this.home, ...(other === '' ? {} : { category: other }) });
    const saved = offered.rows.slice(0, SAVES);
    await this.#log(offered, saved);
    this.#screen.heading(`"${PERSON}" asks for ${other || 'more'} and leaves ${this.#inWords(saved)}:`);
    for (const row of saved) this.#screen.line(`   ${row.title}`);
    return saved;
  }

  async showRelated(home: Seen): Promise<Seen | undefined> {
    const about = home.rows[0];
    if (about === undefined || !this.#vocabulary.surfaces.includes('related')) return undefined;
    const related = await this.wholePage({ surface: 'related', itemIds: [about.itemId] });
    this.show(`Related to "${about.title}", for "${PERSON}"`, related);
    return related;
  }

  /** In the words of the last item's title, which are words of this release's world. */
  async showSearch(home: Seen): Promise<Seen | undefined> {
    const text = home.rows.at(-1)?.title.toLowerCase();
    if (text === undefined || !this.#vocabulary.surfaces.includes('search')) return undefined;
    try {
      const search = await this.wholePage({ surface: 'search', text });
      this.show(`Search for "${text}", for "${PERSON}"`, search);
      return search;
    } catch (error) {
      if (OnepassError.from(error).kind === 'unimplemented') return undefined;
      throw error;
    }
  }

  show(title: string, seen: Seen, previous?: ReadonlyMap<string, number>): void {
    this.#screen.heading(title);
    for (const line of pageTable(seen.rows.slice(0, SHOWN), seen.page.actions, previous)) this.#screen.line(line);
    this.#screen.detail(pageFacts(seen.page, seen.tookMs));
  }

  showChange(before: Seen, after: Seen, saved: readonly PageRow[]): void {
    const positions = new Map(before.rows.map((row) => [row.itemId, row.position]));
    this.show(`Home page of "${PERSON}" after that`, after, positions);
    const category = saved[0]?.category ?? '';
    const savedIds = new Set(saved.map((row) => row.itemId));
    const count = ({ rows }: Seen) =>
      rows.filter((row) => row.category === category && !savedIds.has(row.itemId)).length;
    const fresh = after.rows.slice(0, SHOWN).filter((row) => !positions.has(row.itemId)).length;
    const among = `among the first ${after.rows.length}`;
    const more = `more ${category} than those saved ${among}: ${count(before)} before, ${count(after)} now`;
    this.#screen.line(`New among the first ${SHOWN}: ${fresh}; ${more}.`);
  }

  async #log(seen: Seen, rows: readonly PageRow[]): Promise<void> {
    const { action } = this.#vocabulary;
    const logged = await this.#onepass.logActions({
      person: user(PERSON),
      events: rows.map((row) => ({
        eventId: randomUUID(),
        itemId: row.itemId,
        actions: [action],
        surface: this.home,
        slateId: seen.page.slateId,
        position: row.position,
      })),
    });
    this.#sequence = logged.historySequence;
  }

  #inWords(rows: readonly PageRow[]): string {
    return `${rows.length} ${this.#vocabulary.action}${rows.length === 1 ? '' : 's'}`;
  }
}

function sameCategory(rows: readonly PageRow[], category: string): readonly PageRow[] {
  return rows.filter((row) => row.category === category).slice(0, SAVES);
}
