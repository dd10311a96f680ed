import { FAIR_TURN, PRIORITIES, type Priority } from '@onepass/admission';

/** What decides when it is somebody's turn. */
export interface Placed {
  readonly priority: Priority;
  /** When it should be done, in ms of the line's clock. Whoever has no deadline has one given by when they came, so that they are not passed over for ever. */
  readonly dueMs: number;
}

interface Queue<T> {
  /** By due time; who came first, first. */
  readonly waiting: T[];
  /** Turns that went to others since this one last had one, or began to wait. */
  passedOver: number;
}

/**
 * What waits for a run: higher priorities first, of a priority what is due first, and none for ever: as in `WaitingLine`, every sixteenth turn that
 * passes a priority over is its own. A turn takes as many out as one run serves, from anywhere in the line.
 */
export class AskLine<T extends Placed> {
  readonly #queues = PRIORITIES.map((): Queue<T> => ({ waiting: [], passedOver: 0 }));

  get length(): number {
    return this.#queues.reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  add(item: T): void {
    const queue = this.#queue(item.priority);
    const { waiting } = queue;
    if (waiting.length === 0) queue.passedOver = 0;
    let at = waiting.length;
    while (at > 0 && waiting[at - 1]!.dueMs > item.dueMs) at--;
    waiting.splice(at, 0, item);
  }

  /** Whether it was there. */
  remove(item: T): boolean {
    const { waiting } = this.#queue(item.priority);
    const at = waiting.indexOf(item);
    if (at >= 0) waiting.splice(at, 1);
    return at >= 0;
  }

  /** Everything that waits, in the order of turns. */
  *inTurn(): Generator<T> {
    const due = this.#queues.findLast(({ waiting, passedOver }) => waiting.length > 0 && passedOver >= FAIR_TURN);
    if (due) yield* due.waiting;
    for (const queue of this.#queues) if (queue !== due) yield* queue.waiting;
  }

  /** What has its turn before one of this place that comes now; the sixteenth turns of lower priorities aside. */
  *ahead({ priority, dueMs }: Placed): Generator<T> {
    for (const queue of this.#queues) {
      if (queue === this.#queue(priority)) {
        for (const item of queue.waiting) {
          if (item.dueMs > dueMs) return;
          yield item;
        }
        return;
      }
      yield* queue.waiting;
    }
  }

  /** A turn that goes to these, who wait no more. */
  take(taken: readonly T[]): void {
    const served = new Set(taken.map(({ priority }) => this.#queue(priority)));
    for (const item of taken) this.remove(item);
    for (const queue of this.#queues) queue.passedOver = served.has(queue) ? 0 : queue.passedOver + 1;
  }

  /** Takes out what is due last of the lowest priority below `priority`; undefined when none waits. */
  displace(priority: Priority): T | undefined {
    const lowest = this.#queues.findLastIndex(({ waiting }) => waiting.length > 0);
    return lowest <= PRIORITIES.indexOf(priority) ? undefined : this.#queues[lowest]!.waiting.pop();
  }

  #queue(priority: Priority): Queue<T> {
    return this.#queues[PRIORITIES.indexOf(priority)]!;
  }
}
