import { setTimeout as delay } from 'node:timers/promises';
import { KvSource, type OnepassClient, OnepassError, user } from '@onepass/client';
import type { MeasuredPage } from '../page.js';
import { personId } from '../people.js';

/** One page that was asked for: made whole from this KV, or why it was not. */
export interface Asked {
  readonly person: number;
  readonly source: KvSource | undefined;
  /** The error's kind, or what the page was without. */
  readonly failure: string | undefined;
}

/** Pages at a steady rate, of one person after the other, whether or not those before are answered. */
export class SteadyLoad {
  readonly #ask: (person: number) => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  readonly #people: number;
  readonly #underWay = new Set<Promise<void>>();
  #asked: Asked[] = [];
  #next = 0;

  constructor(onepass: OnepassClient, page: MeasuredPage, { people, rate }: { people: number; rate: number }) {
    this.#ask = async (person) => {
      this.#asked.push(await askFor(onepass, page, person));
    };
    this.#people = people;
    this.#timer = setInterval(() => {
      const asked = this.#ask(this.#next++ % people);
      this.#underWay.add(asked);
      void asked.finally(() => this.#underWay.delete(asked));
    }, 1_000 / rate);
  }

  /** All that was answered since this was last asked. */
  take(): readonly Asked[] {
    const taken = this.#asked;
    this.#asked = [];
    return taken;
  }

  /** Answers when everybody was asked for once more, and answered. */
  async round(): Promise<void> {
    const end = this.#next + this.#people;
    while (this.#next < end) await delay(20);
    await Promise.all(this.#underWay);
  }

  /** Answers when the last page was. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
  }
}

export async function askFor(onepass: OnepassClient, page: MeasuredPage, person: number): Promise<Asked> {
  try {
    const { degraded, kvSource } = await onepass.recommend({ person: user(personId(person)), ...page });
    const failure = degraded.length === 0 ? undefined : degraded.map(({ detail }) => detail).join('; ');
    return { person, source: failure === undefined ? kvSource : undefined, failure };
  } catch (thrown) {
    return { person, source: undefined, failure: OnepassError.from(thrown).kind };
  }
}

/** People of whom a page was made anew, from no KV. */
export function recomputedPeople(asked: readonly Asked[]): Set<number> {
  return new Set(asked.filter(({ source }) => source === KvSource.RECOMPUTE).map(({ person }) => person));
}
