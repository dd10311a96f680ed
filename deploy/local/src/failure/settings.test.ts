import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, expect, test } from 'vitest';
import { repositoryRoot } from '../mesh.js';

const folder = mkdtempSync(join(tmpdir(), 'onepass-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));
const broken = join(folder, 'switches.json');
writeFileSync(broken, '{"drain": "yes"}');

type Case = [role: string, env: Record<string, string>, sentence: string];
const cases: Case[] = [
  [
    'ranking',
    { ONEPASS_FAULTS: 'Rank:hang' },
    'ONEPASS_FAULTS breaks calls on purpose and is refused unless ONEPASS_MODE is development',
  ],
  [
    'ranking',
    { ONEPASS_INFERENCE_IN_FLIGHT: '4', UV_THREADPOOL_SIZE: '4' },
    "ONEPASS_INFERENCE_IN_FLIGHT is 4 and UV_THREADPOOL_SIZE 4: of libuv's threads one must be left, so the latter must be at least 5",
  ],
  ['retrieval', { ONEPASS_METRICS_PORT: '50052' }, 'ONEPASS_METRICS_PORT and ONEPASS_PORT are both 50052'],
  [
    'retrieval',
    { ONEPASS_SWITCHES: broken },
    `ONEPASS_SWITCHES: ${broken} must be a JSON object of true or false by popular_only, kv_reuse_off, tier_off, events_read_only, drain; drain is neither`,
  ],
  [
    'user-encoder',
    { ONEPASS_KV_SLOTS: '1' },
    'ONEPASS_KV_SLOTS is 1, fewer than the 2 runs of ONEPASS_INFERENCE_IN_FLIGHT, each of which works on a slot',
  ],
  [
    'gateway',
    { ONEPASS_RETRIEVAL: '127.0.0.1:50050' },
    'ONEPASS_RETRIEVAL names 127.0.0.1:50050, where this gateway itself listens by ONEPASS_HOST and ONEPASS_PORT',
  ],
];

test.each(cases)('%s with %j does not start, in one sentence', (role, env, sentence) => {
  const common = { ONEPASS_RELEASE_DIR: SMOKE_RELEASE, ONEPASS_DATA_DIR: folder, ONEPASS_CELL_DIR: folder };
  const program = join(repositoryRoot, `services/${role}/dist/main.js`);
  const { status, stderr } = spawnSync(process.execPath, [program], { env: { ...common, ...env }, encoding: 'utf8' });
  expect([stderr, status]).toEqual([`onepass ${role}: ${sentence}\n`, 1]);
});
