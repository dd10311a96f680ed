import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
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

/** Replies are decoded once: a call costs what the wire costs and no more. */
function implementation({ role, messages, stages }: BareOrder): Implementation {
  switch (role) {
    case 'user-encoder': {
      const reply = decoded(UserEncoderService.method.encode.output, messages.encode.reply);
      return implement(UserEncoderService, { encode: () => reply });
    }
    case 'retrieval': {
      const reply = decoded(retrieval.RetrievalService.method.search.output, messages.search.reply);
      return implement(retrieval.RetrievalService, { search: () => reply });
    }
    case 'ranking': {
      const reply = decoded(RankingService.method.rank.output, messages.rank.reply);
      return implement(RankingService, { rank: () => reply });
    }
    case 'gateway':
      return gateway(messages, stages);
  }
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
  const page = decoded(RecommendationService.method.recommend.output, messages.recommend.reply);
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

function decoded<D extends DescMessage>(schema: D, base64: string): MessageShape<D> {
  return fromBinary(schema, Buffer.from(base64, 'base64'));
}
