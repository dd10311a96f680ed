// A process that appends until it is killed: it says what is acknowledged right when it is.
import { writeSync } from 'node:fs';
import { type NewEvent, openHistory, parseStorePlace } from './index.js';

const [place = '', dataDir = '', person = '', round = ''] = process.argv.slice(2);
const history = parseStorePlace(place);
const store = await openHistory({ history, historyTimeoutMs: 5_000, historyChecked: 'no', dataDir });
for (let write = 0; ; write++) {
  const events = [0, 1].map(
    (i): NewEvent => ({
      eventId: `${round}-${write}-${i}`,
      operation: 'add',
      itemId: `item ${i}`,
      actions: ['click'],
      surface: 'home',
      timeMs: 0,
    }),
  );
  const { head } = await store.append(person, events);
  writeSync(1, `${head.sequence} ${head.hash}\n`);
}
