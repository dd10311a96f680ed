import { type Priority, WaitingLine } from '@onepass/admission';
import { OnepassError } from '@onepass/errors';

interface Waiting {
  readonly signal: AbortSignal;
  readonly priority: Priority;
}

/**
 * One piece of work a turn of the event loop. Many requests arrive in one turn under load; done one after another without a break,
 * their searches would hold up health checks, deadlines and replies for the sum of their times.
 */
export class Turns {
  #taken = false;
  readonly #line = new WaitingLine<() => void>();

  /**
   * Resolves when it is the caller's turn, at once when nobody had this one: by priority, and first come, first served.
   * @throws OnepassError the signal's reason when it is aborted before; it then takes no turn.
   */
  async next({ signal, priority }: Waiting): Promise<void> {
    if (signal.aborted) throw OnepassError.from(signal.reason);
    if (this.#taken) return this.#wait({ signal, priority });
    this.#taken = true;
    setImmediate(this.#pass);
  }

  #wait({ signal, priority }: Waiting): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#line.remove(begin, priority);
        reject(OnepassError.from(signal.reason));
      };
      const begin = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#line.add(begin, priority);
    });
  }

  readonly #pass = (): void => {
    const next = this.#line.take();
    this.#taken = next !== undefined;
    if (next === undefined) return;
    setImmediate(this.#pass);
    next();
  };
}
