import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ensureGhz, GHZ_VERSION } from './ensure-ghz.js';

let home: string;
let said: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'onepass-ensure-ghz-'));
  mkdirSync(join(home, 'path'));
  vi.stubEnv('HOME', home);
  vi.stubEnv('PATH', join(home, 'path'));
  said = [];
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

const program = (name: string, lines: string) =>
  writeFileSync(join(home, 'path', name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
const ensure = () => ensureGhz((line) => said.push(line));

test('one that is there is used; of another version, this is said', async () => {
  program('ghz', 'echo 0.117.0');
  expect(await ensure()).toEqual({ path: join(home, 'path', 'ghz'), version: 'v0.117.0' });
  expect(said).toEqual([expect.stringContaining(`ghz v0.117.0 at ${home}`)]);
  program('ghz', `echo dev\n# mod\tgithub.com/bojand/ghz\t${GHZ_VERSION}\th1:x`);
  said = [];
  expect((await ensure()).version).toBe(GHZ_VERSION);
  expect(said).toEqual([]);
});

test('without one, Go installs it where Go puts programs', async () => {
  const bin = join(home, 'gobin');
  const built = `#!/bin/sh\\necho 0.120.0\\n`;
  program(
    'go',
    `case "$1 $2" in
"env GOBIN") echo ${bin} ;;
"env GOVERSION") echo go1.26.0 ;;
"install github.com/bojand/ghz/cmd/ghz@${GHZ_VERSION}") /bin/mkdir -p ${bin}; printf '${built}' > ${bin}/ghz; /bin/chmod +x ${bin}/ghz ;;
*) exit 1 ;;
esac`,
  );
  expect(await ensure()).toEqual({ path: join(bin, 'ghz'), version: GHZ_VERSION });
  expect(said).toEqual([`installing ghz ${GHZ_VERSION} with go install`]);
});

test('what is missing is said in a sentence', async () => {
  await expect(ensure()).rejects.toMatchObject({
    kind: 'startup',
    message: expect.stringContaining('no Go to install it with'),
  });
  program('go', `[ "$1" = env ] && echo "$2" || { echo "module not found" >&2; exit 1; }`);
  await expect(ensure()).rejects.toThrow(`cmd/ghz@${GHZ_VERSION} failed: module not found`);
});
