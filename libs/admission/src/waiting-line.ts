import { PRIORITIES, type Priority } from './priority.js';

/**
 * Of this many turns that go to others while a priority waits, the next is its own. It keeps every priority moving, each lower one at the
 * cost of a sixteenth of the turns, and only while it waits.
 */
export const FAIR_TURN = 16;

interface Queue<T> {
  readonly waiting: Set<T>;
  /** Turns that went to others since this one last had one, or began to wait. */
  passedOver: number;
}

/** What waits for its turn: higher priorities first, the oldest of a priority first, and none for ever. */
export class WaitingLine<T> {
  readonly #queues = PRIORITIES.map((): Queue<T> => ({ waiting: new Set(), passedOver: 0 }));

  get length(): number {
    return this.#queues.reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  waiting(priority: Priority): number {
    return this.#queue(priority).waiting.size;
  }

  /** How many would have their turn before another one of this priority. */
  ahead(priority: Priority): number {
    const last = PRIORITIES.indexOf(priority);
    return this.#queues.reduce((sum, { waiting }, rank) => (rank <= last ? sum + waiting.size : sum), 0);
  }

  add(item: T, priority: Priority): void {
    const queue = this.#queue(priority);
    if (queue.waiting.size === 0) queue.passedOver = 0;
    queue.waiting.add(item);
  }

  /** Whether it was there. */
  remove(item: T, priority: Priority): boolean {
    return this.#queue(priority).waiting.delete(item);
  }

  /** Whose turn it is; undefined when nobody waits. */
  take(): T | undefined {
    const waiting = this.#queues.filter((queue) => queue.waiting.size > 0);
    const next = waiting.findLast((queue) => queue.passedOver >= FAIR_TURN) ?? waiting[0];
    if (next === undefined) return undefined;
    for (const queue of waiting) queue.passedOver += 1;
    next.passedOver = 0;
    const [item] = next.waiting as Set<T> & Iterable<T>;
    next.waiting.delete(item as T);
    return item;
  }

  /** Takes out the newest of the lowest priority below `priority`; undefined when none waits. */
  displace(priority: Priority): T | undefined {
    const lowest = this.#queues.findLastIndex(({ waiting }) => waiting.size > 0);
    if (lowest <= PRIORITIES.indexOf(priority)) return undefined;
    const { waiting } = this.#queues[lowest]!;
    const newest = [...waiting].at(-1)!;
    waiting.delete(newest);
    return newest;
  }

  #queue(priority: Priority): Queue<T> {
    return this.#queues[PRIORITIES.indexOf(priority)]!;
  }
}
