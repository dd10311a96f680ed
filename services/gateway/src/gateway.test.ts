import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '@onepass/config';
import { isServing, openEdge } from '@onepass/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gatewayProgram, startGateway } from './gateway.js';
import { keptPageTokenKey } from './page-token-key.js';
import { gatewaySettings } from './settings.js';
import { errorOf, type Mesh, startMesh } from './testing/mesh.js';
import { itemId, RELEASE, RELEASE_ID } from './testing/world.js';

let mesh: Mesh;
let directory: string;
beforeAll(async () => {
  mesh = await startMesh();
  directory = await mkdtemp(join(tmpdir(), 'onepass-gateway-'));
});
afterAll(async () => {
  await mesh.stop();
  await rm(directory, { recursive: true });
});

const required = { ONEPASS_RELEASE_DIR: 'r', ONEPASS_DATA_DIR: 'd' };

test('settings: cells are parsed, a wrong list is named', () => {
  const cells = 'encoder=a:1,ranking=b:2; name=two,ranking=d:4,encoder=c:3';
  expect(readSettings(gatewaySettings, { ...required, ONEPASS_CELLS: cells }).cells.map(({ name }) => name)).toEqual([
    'a:1',
    'two',
  ]);
  expect(readSettings(gatewaySettings, required)).toMatchObject({ budgetMs: 300, pageTokenKey: undefined });
  expect(() => readSettings(gatewaySettings, { ...required, ONEPASS_CELLS: 'encoder=a:1' })).toThrow(
    'ONEPASS_CELLS: must look like encoder=HOST:PORT,ranking=HOST:PORT',
  );
  expect(() => readSettings(gatewaySettings, { ...required, ONEPASS_PAGE_TOKEN_KEY: 'abcd' })).toThrow(
    'ONEPASS_PAGE_TOKEN_KEY: must have at least 64 hex digits',
  );
});

test('the page token key is made once, for its owner only; a damaged one is a reason not to start', async () => {
  const data = join(directory, 'data');
  const keys = await Promise.all([keptPageTokenKey(data), keptPageTokenKey(data)]);
  expect(keys[0]).toEqual(keys[1]);
  expect(keys[0]).toHaveLength(32);
  const file = join(data, 'page-token.key');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await readFile(file, 'utf8')).trim()).toBe(Buffer.from(keys[0] as Uint8Array).toString('hex'));
  await writeFile(file, 'not hex');
  await expect(keptPageTokenKey(data)).rejects.toThrow(
    `ONEPASS_DATA_DIR: page token key ${file}: must be hex digits, two a byte`,
  );
});

test('no start without a release or on a port in use', async () => {
  const env = { ONEPASS_RELEASE_DIR: join(directory, 'none'), ONEPASS_DATA_DIR: directory };
  await expect(gatewayProgram.start(env)).rejects.toThrow('manifest.json');
  const port = Number(mesh.address.split(':')[1]);
  const settings = { ...readSettings(gatewaySettings, { ...env, ONEPASS_LOG_LEVEL: 'silent' }), port };
  await expect(startGateway(settings, RELEASE, await openEdge('gateway', settings))).rejects.toThrow(
    `gateway cannot listen on 127.0.0.1:${port}: the port is in use`,
  );
});

test('ready once the release is loaded, whatever the stages do; describes itself', async () => {
  expect(await isServing(mesh.address, 5_000)).toBe(true);
  const described = await mesh.recommendation.describe({});
  expect(described).toMatchObject({
    role: 'gateway',
    releaseId: RELEASE_ID,
    actions: RELEASE.actions,
    surfaces: ['home', 'search', 'related'],
    attributes: ['price', 'topic'],
    requestFeatures: ['hour'],
    limits: { idBytes: 128, pageSize: 100, candidates: 300, itemDimension: 4 },
  });
});

test('items come in the order asked for; wrong requests are refused, a stage that is down is unavailable', async () => {
  const reply = await mesh.catalog.getItems({ itemIds: [itemId(3), 'ghost', itemId(1)] });
  expect(reply.items.map((item) => [item.id, item.title])).toEqual([
    [itemId(3), 'About sky'],
    [itemId(1), 'About wood'],
  ]);
  expect(reply.missingItemIds).toEqual(['ghost']);
  expect((await errorOf(mesh.catalog.getItems({ itemIds: ['a', ''] })))[1]).toBe('item_ids[1]: must not be empty');
  expect((await errorOf(mesh.catalog.getItems({})))[1]).toBe('item_ids: has 0 entries, must have 1 to 1000');
  mesh.retrieval.fail(new TypeError('secret'));
  expect(await errorOf(mesh.catalog.getItems({ itemIds: ['a'] }))).toEqual(['internal', 'internal error']);
  await mesh.retrieval.stop();
  expect((await errorOf(mesh.catalog.getItems({ itemIds: ['a'] })))[0]).toBe('unavailable');
});

test('what is not served yet says so', async () => {
  const calls = [mesh.catalog.upsertItems({}), mesh.catalog.deleteItems({})];
  for (const [kind, sentence] of await Promise.all(calls.map(errorOf))) {
    expect(kind).toBe('unimplemented');
    expect(sentence).toMatch(/ is not served yet/);
  }
});
