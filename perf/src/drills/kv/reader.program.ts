import { setImmediate } from 'node:timers/promises';
import { seededRandom } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import type { KvReference } from '@onepass/kv';
import { Bulletin, keepTally } from './boards.js';
import { PoolDoor } from './pool-door.js';
import { rightScore, scoreOf, stampOf, type Tenancy } from './scored-pool.js';

// A reader of the drill's pool: it scores what writers published, as ranking does, until its parent goes or it is killed. Its folder, the file of
// its tally and its seed. The parent tells the run number of each writer that starts.
const [folder = '', tallyPath = '', seed = ''] = process.argv.slice(2);

const BATCH = 100;
/** Of references that the writer before published. */
const OLD_SHARE = 0.05;
/** Of reads during which time passes, as a graph's run takes it. */
const SLOW_SHARE = 0.02;
const MOST_SLOW_MS = 12;

const random = seededRandom(Number(seed));
const wait = new Int32Array(new SharedArrayBuffer(4));
const door = new PoolDoor(folder);
const tally = keepTally(tallyPath);
/** The newest writer's and the one's before. */
let bulletins: Bulletin[] = [];

process.on('message', (run: number) => {
  bulletins.splice(1).forEach((old) => {
    old.close();
  });
  bulletins = [Bulletin.open(folder, run), ...bulletins];
});
process.on('disconnect', () => process.exit(0));

/** @returns the miss's reason; undefined = the score was verified */
function tryScore(reference: KvReference, tenancy: Tenancy): void {
  let score: number | undefined;
  try {
    const reader = door.readerOf(reference.poolId);
    const tensors = reader.read(reference);
    if (random() < SLOW_SHARE) Atomics.wait(wait, 0, 0, random() * MOST_SLOW_MS);
    score = scoreOf(tensors);
    reader.verify(reference);
  } catch (error) {
    if (!(error instanceof OnepassError && error.kind === 'kv_miss')) throw error;
    tally.misses++;
    if (score !== undefined && score !== rightScore(stampOf(tenancy), reference.length)) tally.torn++;
    return;
  }
  tally.verified++;
  const right = rightScore(stampOf(tenancy), reference.length);
  if (score === right) return;
  tally.wrong++;
  console.error(`a verified score was ${score} instead of ${right}`, reference);
}

function turn(): void {
  const bulletin = bulletins[random() < OLD_SHARE ? 1 : 0] ?? bulletins[0];
  const found = bulletin?.look(random());
  if (found !== undefined) tryScore(found.reference, found.tenancy);
}

process.send?.('ready');
for (;;) {
  for (let i = 0; i < BATCH; i++) turn();
  tally.tell();
  await setImmediate();
}
