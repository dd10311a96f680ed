// Another process that writes the history, as the gateway does: events of one person, given as JSON.
import { openLmdbHistory } from '@onepass/history';

const [directory = '', person = '', events = '[]'] = process.argv.slice(2);
const history = openLmdbHistory(directory);
const { head } = await history.append(person, JSON.parse(events));
process.stdout.write(`${head.sequence}\n`);
await history.close();
