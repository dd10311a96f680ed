import {
  type CallOptions,
  type Connection,
  connectTo,
  EmbeddingType,
  RankingService,
  RecommendationService,
  UserEncoderService,
} from '@onepass/contracts';
import { OnepassError, startupError } from '@onepass/errors';
import { loadRelease, openItems } from '@onepass/release';
import { PAGE } from '../page.js';
import { personId } from '../people.js';
import type { Drill } from './drill.js';
import { DEFAULT_RELEASE, startWarmMesh, type WarmMesh } from './warm-mesh.js';

/** Time that nobody of this drill runs out of: what is refused or late would not be cancelled. */
const PATIENCE_MS = 20_000;

/** Calls of one kind, sent together; the later ones are cancelled while they wait. */
interface Place {
  readonly name: string;
  /** The process that is called. */
  readonly role: string;
  /** Processes whose graph runs count. */
  readonly runsAt: readonly string[];
  /** Graph runs of a call that is answered. */
  readonly runs: number;
  /** Calls that are not cancelled: with them the place is full. */
  readonly stay: (connection: Connection) => Promise<number>;
  readonly leave: number;
  readonly rounds: number;
  readonly describe: (connection: Connection) => Promise<unknown>;
  readonly call: (connection: Connection, nth: number, options: CallOptions) => Promise<unknown>;
}

interface Tally {
  cancelled: number;
  /** Graph runs that nobody's answer needed. */
  wasted: number;
}

/** Half of the calls go while they wait: who infers for them? */
export const cancellation: Drill = {
  name: 'cancellation',
  says: 'cancels half of the calls while they wait, at the gateway and at both stages that infer: how much was inferred for them?',
  run: async ({ smoke, progress }) => {
    progress('starting a mesh');
    // One run at a time makes long queues; a wide budget keeps every page whole, so that the runs of a page are known.
    const one = { ONEPASS_INFERENCE_IN_FLIGHT: '1' };
    const warm = await startWarmMesh(smoke ? 4 : 32, {
      gateway: { ONEPASS_BUDGET_MS: String(PATIENCE_MS) },
      'user-encoder': one,
      ranking: one,
    });
    try {
      const all: Tally = { cancelled: 0, wasted: 0 };
      const shares: Record<string, number> = {};
      for (const place of await places(smoke)) {
        const tally = await cancelHalf(warm, place);
        progress(`${place.name}: ${tally.cancelled} cancelled, ${tally.wasted} graph runs for them`);
        all.cancelled += tally.cancelled;
        all.wasted += tally.wasted;
        shares[`cancelled_work_share_${place.name}`] = tally.wasted / tally.cancelled;
      }
      return { cancelled_work_share: all.wasted / all.cancelled, ...shares, cancelled_calls: all.cancelled };
    } finally {
      await warm.stop();
    }
  },
};

async function cancelHalf({ mesh }: WarmMesh, place: Place): Promise<Tally> {
  const tally: Tally = { cancelled: 0, wasted: 0 };
  const connection = connectTo(mesh.address(place.role));
  const inference = place.runsAt.map((role) => [connectTo(mesh.address(role)), role] as const);
  const runs = async () => {
    const counts = await Promise.all(inference.map(([to, role]) => startedRuns(to, role)));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  try {
    for (let round = 0; round < place.rounds; round += 1) {
      const before = await runs();
      const ends = await oneRound(connection, place);
      const failed = ends.find((end) => end !== 'answered' && end.kind !== 'cancelled');
      if (failed !== undefined) throw startupError(`${place.name}: a call that nobody cancelled failed: ${failed}`);
      const answered = ends.filter((end) => end === 'answered').length;
      tally.cancelled += ends.length - answered;
      tally.wasted += (await runs()) - before - place.runs * answered;
    }
  } finally {
    for (const [to] of inference) to.close();
    connection.close();
  }
  return tally;
}

async function oneRound(connection: Connection, place: Place): Promise<('answered' | OnepassError)[]> {
  const deadlineMs = Date.now() + PATIENCE_MS;
  const leaving: AbortController[] = [];
  const stay = await place.stay(connection);
  const calls = Array.from({ length: stay + place.leave }, (_, nth) =>
    place.call(connection, nth, nth < stay ? { deadlineMs } : { deadlineMs, signal: signalOf(leaving) }).then(
      () => 'answered' as const,
      (thrown: unknown) => OnepassError.from(thrown),
    ),
  );
  // It goes the same way behind them: when it is answered all of them are there, and most of them wait.
  await place.describe(connection);
  for (const caller of leaving) caller.abort(new OnepassError({ kind: 'cancelled' }, 'gone'));
  return Promise.all(calls);
}

function signalOf(leaving: AbortController[]): AbortSignal {
  const caller = new AbortController();
  leaving.push(caller);
  return caller.signal;
}

/** As many as the gateway begins at once. */
async function pagesInFlight(connection: Connection): Promise<number> {
  const { measurements } = await connection.client(RecommendationService).describe({});
  return measurements['onepass.admission.limit{onepass.admission.group="pages"}'] ?? Number.NaN;
}

async function startedRuns(connection: Connection, role: string): Promise<number> {
  const service = role === 'ranking' ? RankingService : UserEncoderService;
  const { measurements } = await connection.client(service as typeof RankingService).describe({});
  const runs = measurements['onepass.inference.runs'];
  if (runs === undefined) throw startupError(`${role} does not say how many graph runs it began`);
  return runs;
}

async function places(smoke: boolean): Promise<Place[]> {
  const release = await loadRelease(DEFAULT_RELEASE);
  const items = await openItems(release);
  const releaseId = release.id;
  const context = { surface: PAGE.surface, nowMs: BigInt(Date.now()) };
  const related = items.ids.slice(0, release.manifest.model.contextRows);
  const rows = items.table.slice(0, PAGE.candidates * items.dimension);
  const candidates = { values: new Uint8Array(rows.buffer), type: EmbeddingType.F16, dimension: items.dimension };
  return [
    {
      name: 'gateway',
      role: 'gateway',
      runsAt: ['user-encoder', 'ranking'],
      // Encode, retrieve head, rank.
      runs: 3,
      stay: pagesInFlight,
      leave: 32,
      rounds: smoke ? 1 : 20,
      describe: (connection) => connection.client(RecommendationService).describe({}),
      call: (connection, nth, options) => {
        const person = { id: { case: 'userId' as const, value: personId(nth % (smoke ? 4 : 32)) } };
        return connection.client(RecommendationService).recommend({ ...PAGE, person }, options);
      },
    },
    {
      name: 'ranking',
      role: 'ranking',
      runsAt: ['ranking'],
      runs: 1,
      stay: async () => 32,
      leave: 32,
      rounds: smoke ? 1 : 20,
      describe: (connection) => connection.client(RankingService).describe({}),
      call: (connection, _, options) =>
        connection.client(RankingService).rank({ kv: { releaseId }, context, candidates }, options),
    },
    {
      name: 'user_encoder',
      role: 'user-encoder',
      runsAt: ['user-encoder'],
      runs: 2,
      stay: async () => 100,
      leave: 100,
      rounds: smoke ? 1 : 10,
      describe: (connection) => connection.client(UserEncoderService).describe({}),
      call: (connection, _, options) =>
        connection
          .client(UserEncoderService)
          .encode({ releaseId, context, relatedItemIds: related, queries: [{ outcome: 'any' }] }, options),
    },
  ];
}
