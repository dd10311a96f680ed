import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { connect } from '@onepass/client';
import { finishRelease, loadDraft } from '@onepass/release';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleOf } from './demo/call-it.js';
import { runDemo } from './demo/demo.js';
import { Mesh } from './mesh.js';

const SURFACES = ['front', 'aisle', 'shelf'];
const ACTIONS = ['watch', 'like', 'love', 'skip', 'dislike'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-other-names-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The smoke release as somebody else's: none of its surfaces, actions and attributes is called what the synthetic world calls it. */
async function otherRelease(directory: string): Promise<string> {
  await cp(SMOKE_RELEASE, directory, { recursive: true });
  const file = (path: string) => join(directory, path);
  const { id, index, files, ...manifest } = JSON.parse(await readFile(file('manifest.json'), 'utf8'));
  const { vocabulary, budgets } = manifest;
  const renamed = (byName: Record<string, unknown>) =>
    Object.fromEntries(vocabulary.surfaces.map((name: string, i: number) => [SURFACES[i], byName[name]]));
  const popular = JSON.parse(await readFile(file('items/popular.json'), 'utf8'));
  await writeFile(file('items/popular.json'), JSON.stringify(renamed(popular)));
  const items = gunzipSync(await readFile(file('items/items.jsonl.gz')))
    .toString()
    .trim()
    .split('\n');
  const moved = items.map((line) => {
    const { attributes, ...item } = JSON.parse(line);
    const genres = [attributes.category, item.title.split(' ')[0]];
    return `${JSON.stringify({ ...item, attributes: { a_year: 1999, genres } })}\n`;
  });
  await writeFile(file('items/items.jsonl.gz'), gzipSync(moved.join('')));
  const actions = vocabulary.actions.map((action: object, i: number) => ({ ...action, name: ACTIONS[i] }));
  const draft = {
    ...manifest,
    vocabulary: { ...vocabulary, actions, surfaces: SURFACES },
    budgets: renamed(
      Object.fromEntries(
        Object.keys(budgets).map((name) => [name, [{ outcome: 'any', share: 1, offsetMs: 3_600_000 }]]),
      ),
    ),
  };
  await writeFile(file('manifest.draft.json'), JSON.stringify(draft));
  await rm(file('manifest.json'));
  await finishRelease(await loadDraft(directory), index);
  return directory;
}

test('a release of other names is shown like any other', { timeout: 60_000 }, async () => {
  const releaseDir = await otherRelease(join(folder, 'release'));
  const overrides = { gateway: { ONEPASS_BUDGET_MS: '30000' } };
  const mesh = await Mesh.prepare({ releaseDir, port: undefined, dataDir: undefined, overrides });
  await mesh.start();
  const onepass = connect(mesh.address('gateway'), { tls: mesh.tls });
  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  try {
    const demo = (await runDemo(onepass, { heading: say, line: say, detail: say }))!;
    expect(demo.home.items.length).toBeGreaterThan(0);
    expect([demo.related, demo.search, demo.saved.length > 0]).toEqual([undefined, undefined, true]);
    expect(demo.homeAfter.historySequence).toBe(demo.home.historySequence + BigInt(demo.saved.length));
    const text = said.join('\n');
    expect(text).toContain('Page "front" of "demo"');
    expect(text).toMatch(/"demo" asks for \w+ and leaves \d+ (watch|like|love)/);
    expect(text).toMatch(/more \w+ than those chosen among/);
    expect(Math.max(...said.map((line) => [...line].length))).toBeLessThanOrEqual(110);
    expect(await exampleOf(onepass)).toMatchObject({ surface: 'front', searchText: undefined });
  } finally {
    onepass.close();
    await mesh.stop();
  }
});
