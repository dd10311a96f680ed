// Runs a mesh, shows pages, logs actions, and exports: what tests/test_logs.py reads. Prints the release's directory.
import { join } from 'node:path';
import { connect, Operation, user } from '../../libs/client/dist/index.js';
import { exportLogs } from '../../deploy/export/dist/index.js';
import { Mesh, repositoryRoot } from '../../deploy/local/dist/index.js';
import { openStores } from '../../libs/history/dist/index.js';

const [folder = ''] = process.argv.slice(2);
const releaseDir = join(repositoryRoot, 'libs/testing/fixtures/release-smoke');
const dataDir = join(folder, 'data');
const overrides = { gateway: { ONEPASS_BUDGET_MS: '30000' } };
const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir, overrides });
await mesh.start();
try {
  const onepass = connect(mesh.address('gateway'), { tls: mesh.tls });
  const ann = user('ann');
  let events = 0;
  const log = (itemId, more = {}) =>
    onepass.logActions({
      person: ann,
      events: [{ eventId: `e${events++}`, itemId, actions: ['click'], surface: 'home', ...more }],
    });
  const page = (more = {}) => onepass.recommend({ person: ann, surface: 'home', pageSize: 4, ...more });
  const first = await page();
  const [one, two, three] = first.items.map((item) => item.itemId);
  await log(one, { slateId: first.slateId, position: 0, actions: ['click', 'save'] });
  await log(two, { slateId: first.slateId, position: 1 });
  await log(three, { slateId: first.slateId, position: 2, timeMs: 1_700_000_000_000n });
  await log('no-such-item');
  await page();
  await log(two, { eventId: 'e1', operation: Operation.RETRACT, actions: [], slateId: '' });
  await page({ surface: 'related', context: { case: 'related', value: { itemIds: [one] } } });
  await log('', { queryText: 'blue lamp', surface: 'search' });
  const last = await page();
  await onepass.logSlate({
    person: ann,
    slateId: last.slateId,
    items: [
      { itemId: last.items[0].itemId, visible: true, actions: ['long_view'] },
      { itemId: last.items[1].itemId, visible: false },
    ],
  });
  const nobody = await onepass.recommend({ surface: 'home', pageSize: 2 });
  // Found only once it is written.
  await onepass.logSlate({ slateId: nobody.slateId, items: [{ itemId: nobody.items[0].itemId, visible: true }] });
  onepass.close();
  const stores = await openStores({ history: 'lmdb', historyTimeoutMs: 5_000, historyChecked: 'no', dataDir });
  await exportLogs({ ...stores, out: join(folder, 'export') });
  await Promise.all([stores.history.close(), stores.slates.close()]);
  console.log(releaseDir);
} finally {
  await mesh.stop();
}
