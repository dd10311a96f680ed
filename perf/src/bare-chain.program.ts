import { create, type DescMessage, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  createClient,
  type Implementation,
  implement,
  RankingService,
  RecommendationService,
  retrieval,
  startServer,
  UserEncoderService,
} from '@onepass/contracts';
import { Measurements, silentLogger } from '@onepass/telemetry';
import type { BareOrder, RecordedMessages } from './bare-chain.js';

/** One process of the bare chain: takes its order from the parent, says its address, and serves until the parent goes. */
process.once('message', async (order: BareOrder) => {
  const server = await startServer({
    role: order.role,
    host: '127.0.0.1',
    port: 0,
    services: [implementation(order)],
    logger: silentLogger,
    measurements: new Measurements(),
  });
  process.send?.(server.address);
});
process.once('disconnect', () => process.exit(0));

function implementation({ role, messages, stages }: BareOrder): Implementation {
  const reply = replies(messages);
  switch (role) {
    case 'user-encoder':
      return implement(UserEncoderService, { encode: () => reply.encode() });
    case 'retrieval':
      return implement(retrieval.RetrievalService, { search: () => reply.search() });
    case 'ranking':
      return implement(RankingService, { rank: () => reply.rank() });
    case 'gateway':
      return gateway(messages, stages);
  }
}

function replies(messages: RecordedMessages) {
  return {
    encode: () => decoded(UserEncoderService.method.encode.output, messages.encode.reply),
    search: () => decoded(retrieval.RetrievalService.method.search.output, messages.search.reply),
    rank: () => decoded(RankingService.method.rank.output, messages.rank.reply),
    recommend: () => decoded(RecommendationService.method.recommend.output, messages.recommend.reply),
  };
}

/** The three calls of a page, one after the other, with nothing in between. */
function gateway(messages: RecordedMessages, stages: BareOrder['stages']): Implementation {
  const encoder = createClient(UserEncoderService, stages['user-encoder'] ?? '');
  const search = createClient(retrieval.RetrievalService, stages.retrieval ?? '');
  const ranking = createClient(RankingService, stages.ranking ?? '');
  const request = {
    encode: decoded(UserEncoderService.method.encode.input, messages.encode.request),
    search: decoded(retrieval.RetrievalService.method.search.input, messages.search.request),
    rank: decoded(RankingService.method.rank.input, messages.rank.request),
  };
  const page = replies(messages).recommend();
  return implement(RecommendationService, {
    recommend: async (_, call) => {
      const options = { signal: call.signal, deadlineMs: Date.now() + 10_000 };
      await encoder.encode(request.encode, options);
      await search.search(request.search, options);
      await ranking.rank(request.rank, options);
      return page;
    },
  });
}

/** As a fresh message each time: a handler of the mesh makes one too. */
function decoded<D extends DescMessage>(schema: D, base64: string) {
  return create(schema, fromBinary(schema, Buffer.from(base64, 'base64')) as MessageInitShape<D>);
}
