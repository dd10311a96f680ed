import { connect, KvSource, type OnepassClient, type RecommendResponse, user } from '@onepass/client';
import { OnepassError, startupError } from '@onepass/errors';
import type { MeasuredPage } from '../../page.js';
import { personId } from '../../people.js';
import { freshClock, KeptSpan } from './kept-span.js';
import type { TracedSpan } from './traced-span.js';

export interface TracedPage {
  readonly traceId: string;
  /** As its client saw it. */
  readonly ms: number;
  /** The client's own. */
  readonly spans: readonly TracedSpan[];
}

/** Asks for pages of people in turn, from this process, so that the pages of a stretch of time can be counted exactly. */
export class PageCaller {
  readonly #onepass: OnepassClient;
  readonly #page: MeasuredPage;
  readonly #people: number;
  #calls = 0;

  constructor(address: string, page: MeasuredPage, people: number) {
    this.#onepass = connect(address);
    this.#page = page;
    this.#people = people;
  }

  /**
   * A page that is refused, or late, is not counted; the next one is asked for.
   * @param atATime calls in flight
   * @returns how many pages were answered; none is under way any more
   * @throws OnepassError `startup` when none was
   */
  async many(atATime: number, seconds: number): Promise<number> {
    const end = performance.now() + 1000 * seconds;
    let pages = 0;
    const one = async () => {
      while (performance.now() < end) {
        if ((await this.#ask()) !== undefined) pages += 1;
      }
    };
    await Promise.all(Array.from({ length: atATime }, one));
    if (pages === 0) throw startupError(`no page was answered in ${seconds} s`);
    return pages;
  }

  /**
   * One after the other, each a trace of its own that is recorded.
   * @returns those that were whole and made on KV that was held: at least one
   * @throws OnepassError `startup` when none was
   */
  async traced(pages: number): Promise<TracedPage[]> {
    const clock = freshClock();
    const traced: TracedPage[] = [];
    for (let i = 0; i < pages; i += 1) {
      const spans: TracedSpan[] = [];
      const root = KeptSpan.root('request', spans, clock);
      const page = await this.#ask(root);
      root.end();
      const { startMs, endMs } = spans.at(-1)!;
      if (page?.degraded.length === 0 && page.kvSource === KvSource.SLOT) {
        traced.push({ traceId: root.traceId, ms: endMs - startMs, spans });
      }
    }
    if (traced.length === 0) throw startupError('no page of those that were traced was whole and warm');
    return traced;
  }

  close(): void {
    this.#onepass.close();
  }

  /** Undefined of a page that was refused, or late. */
  async #ask(span?: KeptSpan): Promise<RecommendResponse | undefined> {
    const person = user(personId(this.#calls++ % this.#people));
    try {
      return await this.#onepass.recommend({ person, ...this.#page }, span && { span });
    } catch (thrown) {
      const error = OnepassError.from(thrown);
      if (error.kind === 'overloaded' || error.kind === 'deadline_exceeded') return undefined;
      throw error;
    }
  }
}
