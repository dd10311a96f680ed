import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadRelease } from '@onepass/release';
import { type BundledProgram, bundleProgram, SMOKE_RELEASE, smokeDraft } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

let program: BundledProgram;
let root: string;
beforeAll(async () => {
  program = await bundleProgram(new URL('./build-segments.ts', import.meta.url));
  root = await mkdtemp(join(tmpdir(), 'onepass-builder-'));
});
afterAll(async () => {
  program.remove();
  await rm(root, { recursive: true });
});

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program.path, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('the command finishes a draft: progress on standard error, the id on standard output', async () => {
  const draft = await smokeDraft(join(root, 'draft'));
  const { status, stdout, stderr } = run(draft);
  const { id } = await loadRelease(draft);
  expect([status, stdout]).toEqual([0, `${id}\n`]);
  expect(id).toBe((await loadRelease(SMOKE_RELEASE)).id);
  expect(stderr.split('\n')[1]).toBe('shard 0: 205 items in 4 partitions');
});

test('the command says how it is used, and what is wrong in one line', () => {
  expect(run('--help')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Usage: build-segments <draft dir/),
  });
  const refusals: [string[], string][] = [
    [[], 'give one draft directory'],
    [['a', 'b'], 'give one draft directory'],
    [['a', '--shards', '0'], '--shards must be a whole number from 1 to 1024, not "0"'],
    [['a', '--partitions', 'x'], '--partitions must be a whole number from 1 to 4096, not "x"'],
    [['a', '--shard', '2'], "Unknown option '--shard'"],
    [[join(root, 'nowhere')], 'manifest.draft.json is missing'],
  ];
  for (const [args, sentence] of refusals) {
    const { status, stdout, stderr } = run(...args);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toContain(sentence);
    expect(stderr.trimEnd()).not.toContain('\n');
  }
});
