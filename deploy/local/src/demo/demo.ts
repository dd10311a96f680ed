import { randomUUID } from 'node:crypto';
import { type OnepassClient, OnepassError, type RecommendResponse, user } from '@onepass/client';
import { likedAction, plainSurface } from '../vocabulary.js';
import { categoryAttribute, type PageRow, pageFacts, pageRows, pageTable } from './page-view.js';
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

/**
 * The main job: pages for a person, then actions of that person and the page that they change.
 * @returns undefined where every page of the release is about a query or an item
 */
export async function runDemo(onepass: OnepassClient, screen: Screen): Promise<DemoResult | undefined> {
  const vocabulary = await vocabularyOf(onepass);
  if (vocabulary === undefined) return undefined;
  const visit = new Visit(onepass, screen, vocabulary);
  const firstLook = await visit.wholePage({ surface: visit.home });
  if (firstLook.page.historySequence === 0n) await visit.becomeSomebody(firstLook);

  const home = await visit.wholePage({ surface: visit.home });
  visit.show(visit.pageName, home);
  const related = await visit.showRelated(home);
  const search = await visit.showSearch(home);
  const saved = await visit.saveSomethingElse(home);
  const homeAfter = await visit.page({ surface: visit.home });
  visit.showChange(home, homeAfter, saved);
  const savedIds = saved.rows.map((row) => row.itemId);
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
  /** Whose pages are about nothing but the person. */
  readonly home: string;
  readonly pageSize: number;
}

async function vocabularyOf(onepass: OnepassClient): Promise<Vocabulary | undefined> {
  const described = await onepass.describe({});
  const home = plainSurface(described.surfaces);
  if (home === undefined) return undefined;
  return {
    surfaces: described.surfaces,
    action: likedAction(described.actions),
    home,
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
  readonly category?: string | undefined;
}

interface Seen {
  readonly page: RecommendResponse;
  readonly rows: readonly PageRow[];
  readonly tookMs: number;
}

/** What somebody chose, and of which category. */
interface Saved {
  readonly category: string | undefined;
  readonly rows: readonly PageRow[];
}

/** The demo person's visit. */
class Visit {
  readonly home: string;
  readonly pageName: string;
  readonly #onepass: OnepassClient;
  readonly #screen: Screen;
  readonly #vocabulary: Vocabulary;
  /** Every page must have seen what was logged before it. */
  #sequence = 0n;
  /** What the items' categories are called. */
  #attribute: string | undefined;

  constructor(onepass: OnepassClient, screen: Screen, vocabulary: Vocabulary) {
    this.#onepass = onepass;
    this.#screen = screen;
    this.#vocabulary = vocabulary;
    this.home = vocabulary.home;
    this.pageName = `${this.home === 'home' ? 'Home page' : `Page "${this.home}"`} of "${PERSON}"`;
  }

  /** A page without degraded stages, if one is to be had: the first pages after a start may be late. */
  async wholePage(request: PageRequest): Promise<Seen> {
    let seen = await this.page(request);
    for (let tries = 1; seen.page.degraded.length > 0 && tries < TRIES; tries += 1) seen = await this.page(request);
    return seen;
  }

  async page({ surface, itemIds, text, category }: PageRequest): Promise<Seen> {
    const attribute = this.#attribute;
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
    this.#attribute ??= categoryAttribute(items);
    return { page, rows: pageRows(page, byId, this.#attribute), tookMs };
  }

  /** Gives a person without history a little of it. */
  async becomeSomebody(look: Seen): Promise<void> {
    const category = look.rows[0]?.categories[0];
    const liked = ofCategory(look.rows, category).slice(0, SAVES);
    await this.#log(look, liked);
    this.#screen.line(`"${PERSON}" is new here and begins with ${this.#inWords(liked)} of ${category ?? 'items'}.`);
  }

  /** Saves a few items of a category that does not lead the page. */
  async saveSomethingElse(home: Seen): Promise<Saved> {
    const leading = home.rows[0]?.categories ?? [];
    const categories = home.rows.flatMap((row) => row.categories);
    const category = categories.find((other) => !leading.includes(other)) ?? leading[0];
    const offered = await this.wholePage({ surface: this.home, category });
    const rows = offered.rows.slice(0, SAVES);
    await this.#log(offered, rows);
    this.#screen.heading(`"${PERSON}" asks for ${category ?? 'more'} and leaves ${this.#inWords(rows)}:`);
    for (const row of rows) this.#screen.line(`   ${row.title}`);
    return { category, rows };
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

  showChange(before: Seen, after: Seen, { category, rows: saved }: Saved): void {
    const positions = new Map(before.rows.map((row) => [row.itemId, row.position]));
    this.show(`${this.pageName} after that`, after, positions);
    const savedIds = new Set(saved.map((row) => row.itemId));
    const count = ({ rows }: Seen) => ofCategory(rows, category).filter((row) => !savedIds.has(row.itemId)).length;
    const fresh = after.rows.slice(0, SHOWN).filter((row) => !positions.has(row.itemId)).length;
    const among = `among the first ${after.rows.length}`;
    const more = `; more ${category} than those chosen ${among}: ${count(before)} before, ${count(after)} now`;
    this.#screen.line(`New among the first ${SHOWN}: ${fresh}${category === undefined ? '' : more}.`);
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

/** All of them where items have no categories. */
function ofCategory(rows: readonly PageRow[], category: string | undefined): readonly PageRow[] {
  return rows.filter((row) => category === undefined || row.categories.includes(category));
}
