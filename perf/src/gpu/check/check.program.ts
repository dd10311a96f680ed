// The process in which `bench:gpu --check` runs its checks, and tasks of theirs.
import { checksOf } from './check-list.js';
import { serveChecks } from './check-worker.js';
import { CheckDesk, type CheckTerms } from './desk.js';
import { runTask } from './tasks.js';

serveChecks<CheckTerms>({
  open: (terms) => {
    const desk = new CheckDesk(terms);
    return {
      run: async (name) => {
        const checks = checksOf(await desk.model());
        return checks.find((check) => check.name === name)!.run(desk);
      },
      close: () => desk.close(),
    };
  },
  task: runTask,
});
