// For check-runner.test.ts: checks that do what their names say.
import { writeSync } from 'node:fs';
import { type CheckOutcome, failed, leftOut, ok } from './check.js';
import { serveChecks } from './check-worker.js';

const CHECKS: Readonly<Record<string, () => Promise<CheckOutcome>>> = {
  good: async () => ok('all good', { seen: 1 }),
  bad: async () => failed('it is bad'),
  without: async () => leftOut('nothing to see'),
  throws: async () => {
    throw new Error('it broke');
  },
  lost: async () => {
    writeSync(process.stderr.fd, 'the device cuda:0 is lost: CUDA failure 700\n');
    process.exit(74);
  },
  killed: async () => process.kill(process.pid, 'SIGKILL') && ok(''),
  endless: () => new Promise(() => setInterval(() => {}, 1_000)),
};

serveChecks<{ readonly greeting: string }>({
  open: ({ greeting }) => ({
    run: async (name) => {
      const outcome = await CHECKS[name]!();
      return { ...outcome, says: `${greeting}${outcome.says}` };
    },
    close: async () => {},
  }),
  task: async (name, { greeting }, args) => {
    if (name === 'fails') throw new Error('no such task');
    process.stdout.write('said aside\n');
    return { name, greeting, args };
  },
});
