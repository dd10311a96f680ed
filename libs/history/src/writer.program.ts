// A process that appends until it is killed: it says what is acknowledged right when it is.
import { writeSync } from 'node:fs';
import { type NewEvent, openLmdbHistory } from './index.js';

const [directory = '', person = '', round = ''] = process.argv.slice(2);
const store = openLmdbHistory(directory);
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
