import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { connectTo, RankingService, RecommendationService, retrieval, UserEncoderService } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { repositoryRoot } from '@onepass/local';
import type { Release } from '@onepass/release';
import type { MeasuredPage } from './page.js';
import { personId } from './people.js';

const STAGES = ['user-encoder', 'retrieval', 'ranking'] as const;
/** host:port of a mesh's processes, by role. */
type Addresses = Readonly<Record<string, string>>;
type Role = (typeof STAGES)[number] | 'gateway';

/** One call's messages as they crossed the wire, base64. */
interface Recorded {
  readonly request: string;
  readonly reply: string;
}

export type RecordedMessages = Readonly<Record<'encode' | 'search' | 'rank' | 'recommend', Recorded>>;

/** What a process of the chain is told. */
export interface BareOrder {
  readonly role: Role;
  readonly messages: RecordedMessages;
  /** host:port by role; empty for a stage. */
  readonly stages: Readonly<Record<string, string>>;
}

/**
 * The same four processes with the same messages and nothing else: what gRPC and protobuf alone cost on this machine. The
 * mesh's overhead is read beside it.
 */
export class BareChain {
  readonly address: string;
  readonly #children: ReadonlyMap<Role, ChildProcess>;

  static async open(addresses: Addresses, release: Release, page: MeasuredPage): Promise<BareChain> {
    const messages = await record(addresses, release, page);
    const children = new Map<Role, ChildProcess>();
    const own: Record<string, string> = {};
    for (const role of [...STAGES, 'gateway'] as const) {
      const child = fork(join(repositoryRoot, 'perf', 'dist', 'bare-chain.program.js'), { execArgv: [] });
      children.set(role, child);
      child.send({ role, messages, stages: own } satisfies BareOrder);
      own[role] = await addressOf(child);
    }
    return new BareChain(own.gateway as string, children);
  }

  private constructor(address: string, children: ReadonlyMap<Role, ChildProcess>) {
    this.address = address;
    this.#children = children;
  }

  pids(): Record<string, number> {
    return Object.fromEntries([...this.#children].map(([role, child]) => [role, child.pid ?? 0]));
  }

  async close(): Promise<void> {
    for (const child of this.#children.values()) {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    }
  }
}

/** What a child says once it serves. @throws when it ends instead */
async function addressOf(child: ChildProcess): Promise<string> {
  const ended = once(child, 'exit').then(() => {
    throw startupError('a process of the bare chain ended before it served');
  });
  const [address] = await Promise.race([once(child, 'message'), ended]);
  ended.catch(() => {}); // It ends in time, when it is told to.
  return address as string;
}

/** A page's messages, asked of the stages one by one as the gateway does. */
async function record(addresses: Addresses, release: Release, measured: MeasuredPage): Promise<RecordedMessages> {
  const connections = new Map([...STAGES, 'gateway'].map((role) => [role, connectTo(addresses[role]!)]));
  const to = (role: Role) => connections.get(role) as ReturnType<typeof connectTo>;
  const person = { id: { case: 'userId', value: personId(0) } } as const;
  try {
    const recommend = { person, ...measured };
    const page = await to('gateway').client(RecommendationService).recommend(recommend);
    const budgets = release.vocabulary
      .budgets(measured.surface)
      .map(({ outcome, share, offsetMs }) => ({ outcome, share, offsetMs: BigInt(offsetMs) }));
    const encode = {
      releaseId: release.id,
      person,
      context: { surface: measured.surface, nowMs: BigInt(Date.now()) },
      queries: budgets.map(({ outcome, offsetMs }) => ({ outcome, offsetMs })),
    };
    const encoded = await to('user-encoder').client(UserEncoderService).encode(encode);
    const search = {
      releaseId: release.id,
      ...(encoded.queries && { queries: encoded.queries }),
      budgets,
      limit: measured.candidates,
      excludedRows: encoded.seenRows,
    };
    const found = await to('retrieval').client(retrieval.RetrievalService).search(search);
    const rank = {
      ...(encoded.kv && { kv: encoded.kv }),
      ...(encoded.context && { context: encoded.context }),
      ...(found.candidates?.embeddings && { candidates: found.candidates.embeddings }),
      kvSource: encoded.kvSource,
    };
    const ranked = await to('ranking').client(RankingService).rank(rank);
    return {
      recommend: recorded(RecommendationService.method.recommend, recommend, page),
      encode: recorded(UserEncoderService.method.encode, encode, encoded),
      search: recorded(retrieval.RetrievalService.method.search, search, found),
      rank: recorded(RankingService.method.rank, rank, ranked),
    };
  } finally {
    for (const connection of connections.values()) connection.close();
  }
}

function recorded<I extends DescMessage, O extends DescMessage>(
  { input, output }: { input: I; output: O },
  request: MessageInitShape<I>,
  reply: MessageInitShape<O>,
): Recorded {
  const base64 = (schema: DescMessage, message: MessageInitShape<DescMessage>) =>
    Buffer.from(toBinary(schema, create(schema, message))).toString('base64');
  return { request: base64(input, request), reply: base64(output, reply) };
}
