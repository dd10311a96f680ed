import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, KvSource, type OnepassClient, user } from '@onepass/client';
import { connectTo, RecommendationService, UserEncoderService } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { Mesh, repositoryRoot } from '@onepass/local';
import { loadRelease, openItems } from '@onepass/release';
import { type CellLine, cellOrder, personKey } from '@onepass/routing';
import { habitsOf, type MeasuredPage, pageOf } from '../page.js';
import { personId, writeHistories } from '../people.js';
import { warmUp } from '../warm.js';
import { type Asked, askFor, recomputedPeople, SteadyLoad } from './cells-load.js';
import type { Drill, DrillTerms } from './drill.js';

const CELLS = 3;
/** Beside 1/N, for chance. */
const ALLOWANCE = 0.05;
/** Cells start again on the cores that the others serve on: what is asked is whether pages fail, not whether they are late for that. */
const BUDGET_MS = 2_000;
const PATIENCE_MS = 120_000;
/** Of ten pages, those of the hot person. */
const HOT_OF_TEN = 3;

interface Size {
  readonly release: string;
  readonly people: number;
  /** Pages a second. */
  readonly rate: number;
  readonly warmUpMs: number;
  readonly hotPages: number;
  readonly hotConcurrency: number;
}
const FULL: Size = {
  release: 'releases/default',
  people: 300,
  rate: 30,
  warmUpMs: 10_000,
  hotPages: 6_000,
  hotConcurrency: 32,
};
const SMOKE: Size = {
  release: 'libs/testing/fixtures/release-smoke',
  people: 40,
  rate: 20,
  warmUpMs: 1_500,
  hotPages: 200,
  hotConcurrency: 8,
};

/** Every person is asked for once in so long, and a little more, where the machine keeps up. */
const roundMs = ({ people, rate }: Size) => (1_000 * people) / rate + 1_000;

export const cells: Drill = {
  name: 'cells',
  says: 'lets a cell join, dies, drains and comes back under a steady load: who moves, who is encoded again, which page fails?',
  run: async (terms) => {
    const size = terms.smoke ? SMOKE : FULL;
    const releaseDir = join(repositoryRoot, size.release);
    const release = await loadRelease(releaseDir);
    const page = pageOf(release);
    const overrides = {
      gateway: { ONEPASS_BUDGET_MS: String(BUDGET_MS), ONEPASS_CELL_WARM_UP_MS: String(size.warmUpMs) },
      // Nobody is evicted: who is encoded again moved.
      'user-encoder': { ONEPASS_KV_SLOTS: String(size.people + 32) },
    };
    const common = { releaseDir, port: undefined, dataDir: undefined, overrides };
    // Whoever dies stays away long enough for everybody to be asked for.
    const mesh = await Mesh.prepare({ ...common, cells: CELLS, backOff: () => roundMs(size) + 2_000 });
    mesh.writeCells(mesh.cells.slice(0, -1));
    let onepass: OnepassClient | undefined;
    try {
      terms.progress(`starting ${CELLS} cells, of which the gateway knows ${CELLS - 1}; warming ${size.people} people`);
      await mesh.start();
      const gateway = mesh.address('gateway');
      const { ids } = await openItems(release);
      const histories = { count: size.people, length: release.manifest.model.window, nowMs: Date.now() };
      await writeHistories(gateway, ids, habitsOf(release, page), histories);
      await warmUp(gateway, page, { people: size.people, kept: true });
      onepass = connect(gateway);
      const lived = await live({ mesh, onepass, size, page }, terms);
      return { ...lived, hot_cell_share: await hotShare({ mesh, onepass, size, page }, terms) };
    } finally {
      onepass?.close();
      await mesh.stop();
    }
  },
};

interface Stage {
  readonly mesh: Mesh;
  readonly onepass: OnepassClient;
  readonly size: Size;
  readonly page: MeasuredPage;
}

/** Whose pages may be made anew in a step: the others' count against it. */
type MayMove = (person: number) => boolean;

async function live({ mesh, onepass, size, page }: Stage, { progress }: DrillTerms): Promise<Record<string, number>> {
  const load = new SteadyLoad(onepass, page, size);
  const [first, second, third] = mesh.cells as [CellLine, CellLine, CellLine];
  const homes = homesOf(mesh.cells, size.people);
  const homesBefore = homesOf(mesh.cells.slice(0, -1), size.people);
  const of = (cell: CellLine) => (person: number) => homes[person] === cell.name;
  let unmoved = 0;
  const step = async (name: string, mayMove: MayMove, work: () => Promise<void>) => {
    const since = Date.now();
    await work();
    // Once more everybody, in the state that it has come to.
    await load.round();
    const asked = load.take();
    unmoved += asked.filter(({ person, source }) => source === KvSource.RECOMPUTE && !mayMove(person)).length;
    const moved = recomputedPeople(asked).size;
    const failed = asked.filter(({ failure }) => failure !== undefined);
    progress(
      `${name}, ${((Date.now() - since) / 1000).toFixed(0)} s: ${asked.length} pages, ${failed.length} failed or degraded, ${moved} of ${size.people} people encoded again`,
    );
    for (const failure of new Set(failed.map((one) => one.failure))) progress(`  ${failure}`);
    return { share: moved / size.people, failed: failed.length };
  };
  const states = (wanted: Record<string, number>) => untilCells(mesh, wanted);
  try {
    const calm = await step(
      'calm',
      () => false,
      async () => {},
    );
    const joined = await step(
      'a cell joins',
      (person) => homes[person] !== homesBefore[person],
      async () => {
        mesh.writeCells(mesh.cells);
        await states({ serving: 3 });
      },
    );
    const lost = await step('another is killed', of(first), async () => {
      signal(mesh, 1, 'SIGKILL');
      await states({ serving: 2, passed_over: 1 });
    });
    const back = await step('it comes back', of(first), () => states({ serving: 3 }));
    const drained = await step('a cell is drained by the file', of(third), async () => {
      mesh.writeCells([first, second, { ...third, state: 'draining' }]);
      await states({ serving: 2, draining: 1 });
    });
    const readmitted = await step('and taken back', of(third), async () => {
      mesh.writeCells(mesh.cells);
      await states({ serving: 3 });
    });
    const stopped = await step('a cell is stopped by SIGTERM', of(second), async () => {
      signal(mesh, 2, 'SIGTERM');
      await states({ serving: 2, passed_over: 1 });
    });
    const again = await step('and started again', of(second), () => states({ serving: 3 }));
    const failed = (...steps: readonly { failed: number }[]) => steps.reduce((sum, { failed }) => sum + failed, 0);
    const bound = 1 / CELLS + ALLOWANCE;
    return {
      moved_people_share_join: joined.share,
      moved_people_share_join_bound: bound,
      moved_people_share_loss: lost.share,
      moved_people_share_loss_bound: bound,
      recomputed_unmoved: unmoved,
      failed_calls: failed(drained, readmitted, stopped),
      failed_calls_on_join: failed(calm, joined, back, again),
      failed_calls_on_kill: lost.failed,
    };
  } finally {
    await load.stop();
  }
}

/** By person, the cell that is theirs when all serve. */
function homesOf(cells: readonly CellLine[], people: number): string[] {
  const names = cells.map(({ name }) => name);
  return Array.from({ length: people }, (_, person) => cellOrder(personKey(user(personId(person)))!, names)[0] ?? '');
}

/** @param cell its number, from 1 */
function signal(mesh: Mesh, cell: number, name: NodeJS.Signals): void {
  const behind = cell === 1 ? '' : `-${cell}`;
  for (const role of [`user-encoder${behind}`, `ranking${behind}`]) {
    const pid = mesh.pids()[role];
    if (pid === undefined) throw startupError(`${role} does not run`);
    process.kill(pid, name);
  }
}

async function untilCells(mesh: Mesh, wanted: Record<string, number>): Promise<void> {
  const connection = connectTo(mesh.address('gateway'));
  const gateway = connection.client(RecommendationService);
  const late = Date.now() + PATIENCE_MS;
  try {
    for (;;) {
      const { measurements } = await gateway.describe({});
      const counts = ['joining', 'serving', 'draining', 'passed_over'].map(
        (state) => (measurements[`onepass.cells{onepass.cell.state="${state}"}`] ?? 0) === (wanted[state] ?? 0),
      );
      if (counts.every(Boolean)) return;
      if (Date.now() > late) throw startupError(`the cells do not become ${JSON.stringify(wanted)}`);
      await delay(50);
    }
  } finally {
    connection.close();
  }
}

/** Encodes that each cell was asked for. */
async function encodes(mesh: Mesh): Promise<number[]> {
  return Promise.all(
    mesh.cells.map(async ({ encoder }) => {
      const connection = connectTo(encoder);
      const { measurements } = await connection.client(UserEncoderService).describe({});
      connection.close();
      const counts = Object.entries(measurements).filter(([name]) => name.startsWith('onepass.kv.requests{'));
      return counts.reduce((sum, [, count]) => sum + count, 0);
    }),
  );
}

/** Pages of the fullest cell over the mean, while three of ten pages are one person’s. */
async function hotShare({ mesh, onepass, size, page }: Stage, { progress }: DrillTerms): Promise<number> {
  const before = await encodes(mesh);
  let left = size.hotPages;
  const asked: Asked[] = [];
  const reader = async () => {
    for (; left > 0; ) {
      const number = left--;
      asked.push(await askFor(onepass, page, number % 10 < HOT_OF_TEN ? 0 : number % size.people));
    }
  };
  await Promise.all(Array.from({ length: size.hotConcurrency }, reader));
  const after = await encodes(mesh);
  const loads = after.map((count, i) => count - before[i]!);
  const mean = loads.reduce((sum, count) => sum + count, 0) / loads.length;
  const failed = asked.filter(({ failure }) => failure !== undefined).length;
  const hot = asked.filter(({ person }) => person === 0).length / asked.length;
  progress(
    `a hot person with ${(100 * hot).toFixed(0)}% of the pages: ${loads.join(', ')} at the cells, ${failed} failed or degraded`,
  );
  return Math.max(...loads) / mean;
}
