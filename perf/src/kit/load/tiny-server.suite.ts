import { setTimeout as delay } from 'node:timers/promises';
import {
  Degraded_Reason,
  EventResult_Status,
  EventService,
  implement,
  KvSource,
  RecommendationService,
  type RunningServer,
  startServer,
} from '@onepass/contracts';
import { Measurements, silentLogger } from '@onepass/telemetry';
import { findGhz } from '../../ghz.js';
import type { LoadTarget } from './observe.js';

/** What a tiny server was asked. */
export interface Asked {
  readonly pages: { readonly person: string; readonly surface: string; readonly about: string | undefined }[];
  readonly events: {
    readonly person: string;
    readonly eventId: string;
    readonly itemId: string;
    readonly slateId: string;
  }[];
}

export interface TinyServer {
  readonly asked: Asked;
  readonly target: LoadTarget;
  readonly server: RunningServer;
}

/**
 * A gateway that takes a known time for a page and knows nothing: every tenth page is degraded, a person's first one is recomputed, and
 * those after it come from the slot.
 */
export async function startTinyServer({
  serviceMs = 20,
  degradedEvery = Number.POSITIVE_INFINITY,
} = {}): Promise<TinyServer> {
  const asked: Asked = { pages: [], events: [] };
  const came = new Set<string>();
  let degraded = 0;
  const server = await startServer({
    role: 'gateway',
    host: '127.0.0.1',
    port: 0,
    services: [
      implement(RecommendationService, {
        recommend: async ({ person, surface, context, pageSize }) => {
          const id = person?.id.value ?? '';
          const kvSource = came.has(id) ? KvSource.SLOT : KvSource.RECOMPUTE;
          came.add(id);
          const about = context.case === 'related' ? context.value.itemIds[0] : context.value?.query.value;
          const page = asked.pages.push({ person: id, surface, about: about as string | undefined });
          await delay(serviceMs);
          const isDegraded = page % degradedEvery === 0;
          if (isDegraded) degraded += 1;
          return {
            slateId: `slate-${id}-${page}`,
            items: Array.from({ length: pageSize }, (_, position) => ({ itemId: `shown-${position}`, position })),
            degraded: isDegraded ? [{ reason: Degraded_Reason.RANKING, detail: 'every so many-th' }] : [],
            kvSource,
          };
        },
      }),
      implement(EventService, {
        logActions: ({ person, events }) => {
          for (const { eventId, itemId, slateId } of events) {
            asked.events.push({ person: person?.id.value ?? '', eventId, itemId, slateId });
          }
          const results = events.map(({ eventId }) => ({ eventId, status: EventResult_Status.ACCEPTED }));
          return { results };
        },
      }),
    ],
    logger: silentLogger,
    measurements: new Measurements(),
  });
  const target = {
    address: server.address,
    pids: () => ({ gateway: process.pid }),
    degraded: async () => degraded,
  };
  return { asked, target, server };
}

/** Tests with ghz are left out where there is none. */
export const GHZ = ((): string | undefined => {
  try {
    return findGhz();
  } catch {
    return undefined;
  }
})();
