import { setImmediate } from 'node:timers/promises';
import { Heap } from '../heap.js';

interface Event {
  readonly atMs: number;
  /** Of two at one time the one that was asked for first comes first. */
  readonly order: number;
  readonly act: () => void;
}

/** Time that only passes from one event to the next. What waits for a moment is a promise, so that production code runs on it as it is. */
export class SimClock {
  readonly #events = new Heap<Event>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  #order = 0;
  #nowMs = 0;

  /** Bound, to be handed to whoever asks for a clock, in ms. */
  readonly now = (): number => this.#nowMs;

  /** @param atMs not before now */
  at(atMs: number, act: () => void): void {
    if (!(atMs >= this.#nowMs)) throw new RangeError(`an event at ${atMs} ms is before now, ${this.#nowMs} ms`);
    this.#events.push({ atMs, order: this.#order++, act });
  }

  delay(ms: number): Promise<void> {
    return new Promise((resolve) => this.at(this.#nowMs + ms, resolve));
  }

  /** Lets everything happen that is to happen, and what follows from it, until nothing is left. */
  async run(): Promise<void> {
    await setImmediate();
    for (let next = this.#events.pop(); next !== undefined; next = this.#events.pop()) {
      this.#nowMs = next.atMs;
      next.act();
      // All that waited for this event goes on before the next one.
      await setImmediate();
    }
  }
}
