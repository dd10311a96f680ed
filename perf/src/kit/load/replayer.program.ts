import { setTimeout as delay } from 'node:timers/promises';
import { OnepassError } from '@onepass/errors';
import { Replay } from './replay.js';
import type { ReplayerSays, ReplayerTold, ReplayOrder } from './replayer.js';
import type { SentCall } from './seen.js';
import { makeTrace, plainTrace } from './trace.js';

const SAY_EVERY_MS = 500;

const say = (says: ReplayerSays) => process.send?.(says);
let begin: (beganMs: number) => void = () => {};
const began = new Promise<number>((resolve) => {
  begin = resolve;
});

/** Takes its order from the parent, says that it is ready, sends the trace from when it is told, and says every half second what it saw. */
process.on('message', (told: ReplayerTold) => {
  if (told.kind === 'begin') begin(told.beganMs);
  else replay(told.order).catch((error) => say({ kind: 'failed', message: OnepassError.from(error).message }));
});
process.once('disconnect', () => process.exit(0));

async function replay(order: ReplayOrder): Promise<void> {
  const trace = order.trace === undefined ? plainTrace(order.plain) : makeTrace(order.trace);
  let calls: SentCall[] = [];
  const replay = new Replay(order.terms, (call) => calls.push(call));
  const tell = () => {
    say({ kind: 'seen', calls, actions: replay.actions });
    calls = [];
  };
  await replay.connect();
  say({ kind: 'ready' });
  const beganMs = await began;
  const telling = setInterval(tell, SAY_EVERY_MS);
  await replay.run(trace, beganMs);
  // A quiet end belongs to the trace too.
  await delay(Math.max(0, beganMs + (order.trace ?? order.plain).durationMs - Date.now()));
  clearInterval(telling);
  tell();
  say({ kind: 'done' });
  replay.close();
  process.disconnect();
}
