// Second half of `npm run generate`: the parts of docs/ that code writes.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { generatedDocs } from './lib/generated-docs.mjs';
import { root } from './lib/paths.mjs';
import { main, report } from './lib/steps.mjs';

await main(async () => {
  await ensureBuilt();
  for (const { file, now, wanted } of await generatedDocs()) {
    if (now === wanted) continue;
    await writeFile(join(root, file), wanted);
    report(file, 'written');
  }
});
