// `npm run compare -- A B`: two releases on the same logs.
import { join } from 'node:path';
import { root } from './lib/paths.mjs';
import { ensurePython, python } from './lib/python.mjs';
import { main, runVisibly, Stop } from './lib/steps.mjs';

await main(async () => {
  const problem = await ensurePython();
  if (problem !== undefined) throw new Stop(`Comparing releases needs Python: ${problem}.`);
  const code = await runVisibly(python, ['-m', 'onepass_training', 'compare', ...process.argv.slice(2)], {
    env: { PYTHONPATH: join(root, 'training', 'src') },
  });
  process.exit(code);
});
