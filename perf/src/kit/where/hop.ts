import { randomFill } from 'node:crypto';
import { median } from '../../statistics.js';

const TIMES = 300;

/**
 * What it takes onto a thread of libuv's pool and back to the event loop, in ms: the median of calls that do next to nothing there. What a
 * graph run itself spends on it cannot be seen from JavaScript.
 */
export async function hopMs(): Promise<number> {
  const byte = Buffer.alloc(1);
  const took: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const since = performance.now();
    await new Promise<void>((resolve, reject) => {
      randomFill(byte, (error) => (error ? reject(error) : resolve()));
    });
    took.push(performance.now() - since);
  }
  return median(took);
}
