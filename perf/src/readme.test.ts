import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Mesh, repositoryRoot } from '@onepass/local';
import { bundleProgram, SMOKE_RELEASE } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);

/** What a reader copies from the README must work: every line of its command blocks, and its TypeScript. */
const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
const fence = '```';
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^${fence}${language}\\n(.*?)^${fence}`, 'gms'))].map((match) => match[1] as string);
const commands = blocks('bash').flatMap((block) => block.trim().split('\n'));

/** How each npm command is tried: itself where it is short and starts nothing over, else its --help; perf has tests of its own. */
const NPM: Readonly<Record<string, (folder: string) => string[]>> = {
  'npm start': () => ['start', '--', '--smoke', '--release', SMOKE_RELEASE],
  'npm test': () => ['test', '--', '--help'],
  'npm run check': () => ['run', 'check', '--', '--help'],
  'npm run train -- --smoke': (folder) => ['run', 'train', '--', '--smoke', '--out', join(folder, 'release')],
  // Tried by own-data.test.ts, which also serves what comes out.
  'npm run train -- --smoke --data training/tests/fixtures/ml-25m': () => ['run', 'train', '--', '--help'],
  'npm run report -- --smoke': () => ['run', 'report', '--', '--help'],
  'npm run bench -- --smoke': () => ['run', 'bench', '--', '--help'],
  'npm run bench:gpu -- --smoke': () => ['run', 'bench:gpu', '--', '--smoke'],
  'npm run drills -- --smoke': () => ['run', 'drills', '--', '--help'],
  'npm run plan -- --people 30e6 --qps 4000 --smoke': () => 'run plan -- --people 30e6 --qps 4000 --smoke'.split(' '),
  // Tried by plan/real-commands.test.ts.
  'npm run plan -- --validate --smoke': () => ['run', 'plan', '--', '--help'],
  'npm run prewarm -- --smoke': () => ['run', 'prewarm', '--', '--smoke', '--release', SMOKE_RELEASE],
  'npm run export -- --out .onepass/export': (folder) => [
    'run',
    'export',
    '--',
    '--data',
    folder,
    '--out',
    join(folder, 'exported'),
  ],
  'npm run export -- --replay .onepass/export': () => ['run', 'export', '--', '--help'],
};

const NEED_PYTHON: ReadonlySet<string> = new Set(['npm run train -- --smoke', 'npm run bench:gpu -- --smoke']);

/** What a good answer of a tool holds. */
const TOOLS: Readonly<Record<string, RegExp>> = {
  grpcurl: /"(itemId|status)": "/,
  ghz: /\[OK\]\s+200 responses/,
};

const env = { ...process.env, PATH: [process.env.PATH, join(homedir(), 'go', 'bin')].join(delimiter) };
const isThere = (tool: string) => spawnSync('bash', ['-c', `command -v ${tool}`], { env }).status === 0;

let mesh: Mesh;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'onepass-readme-'));
  mesh = await Mesh.prepare({ releaseDir: SMOKE_RELEASE, port: undefined, dataDir: folder });
  await mesh.start();
});
afterAll(async () => {
  await mesh.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The README's gateway is on its default port, the test's on a free one. */
const here = (text: string) => text.replaceAll('127.0.0.1:50050', mesh.address('gateway'));

test('every command of the README is tried below', () => {
  const tried = (line: string) => line in NPM || Object.keys(TOOLS).includes(line.split(' ')[0] as string);
  expect(commands.filter((line) => !tried(line))).toEqual([]);
  expect(commands).toEqual(expect.arrayContaining(Object.keys(NPM)));
});

for (const [tool, answer] of Object.entries(TOOLS)) {
  test.skipIf(!isThere(tool))(`the README's ${tool} lines work as they stand`, async () => {
    const lines = commands.filter((line) => line.startsWith(`${tool} `));
    expect(lines).not.toEqual([]);
    for (const line of lines) expect((await run('bash', ['-c', here(line)], { env })).stdout).toMatch(answer);
  });
}

for (const [command, args] of Object.entries(NPM)) {
  const needsPython = NEED_PYTHON.has(command);
  const canRun = !needsPython || existsSync(join(repositoryRoot, 'training', '.venv', 'bin', 'python'));
  test.skipIf(!canRun)(`${command} works`, { timeout: 300_000 }, async () => {
    const { stdout } = await run('npm', args(folder), { cwd: repositoryRoot, maxBuffer: 2 ** 26 });
    expect(stdout).not.toBe('');
    if (command === 'npm run train -- --smoke')
      expect(await readdir(join(folder, 'release'))).toContain('manifest.json');
  });
}

test('the TypeScript of the README runs', async () => {
  // Inside the repository, where the workspace's packages are found.
  const source = join(repositoryRoot, 'node_modules', `readme-${process.pid}.ts`);
  await writeFile(source, here(blocks('ts').join('\n')));
  try {
    const program = await bundleProgram(pathToFileURL(source));
    const { stdout } = await run(process.execPath, [program.path]);
    program.remove();
    expect(stdout.trim().split('\n')).toHaveLength(10);
  } finally {
    await rm(source);
  }
});
