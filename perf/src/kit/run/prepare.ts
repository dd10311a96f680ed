import { connect, user } from '@onepass/client';
import { type Items, openItems, type Release } from '@onepass/release';
import { habitsOf, type MeasuredPage } from '../../page.js';
import { personId, writeHistories } from '../../people.js';
import { warmUp } from '../../warm.js';
import type { RunningSystem } from '../systems/running-system.js';
import { MESH_SYSTEMS } from '../systems/systems.js';

export interface Prepared {
  readonly people: number;
  /** Of each one's history. */
  readonly length: number;
  /** People whose KV a system that keeps any is to hold; absent: all. More than there are slots only take each other's. */
  readonly warm?: number;
  /** Of the release; absent: they are loaded. */
  readonly items?: Items;
}

/**
 * Gives people their histories and asks for each one's page until it is whole and its KV held; of a system that keeps no KV, for a few.
 * @throws OnepassError `startup` when a page does not become so
 */
export async function prepareSystem(
  system: RunningSystem,
  release: Release,
  page: MeasuredPage,
  { people, length, warm = people, items }: Prepared,
): Promise<void> {
  const { ids } = items ?? (await openItems(release));
  const many = { count: people, length, nowMs: Date.now() };
  await writeHistories(system.address, ids, habitsOf(release, page), many);
  const kept = keepsKv(system);
  await warmUp(system.address, page, { people: kept ? warm : Math.min(warm, FEW), kept });
}

/** What is kept of nobody is as it was for whoever comes next. */
const FEW = 8;

const keepsKv = ({ name }: RunningSystem) => name === 'Gkv' || (name !== 'G' && MESH_SYSTEMS[name].keepsKv);

/** Median time of a warm page, in ms, beyond the stages that the gateway waits for; as its client sees it, one page at a time. */
export async function gatewayTimes(
  { address }: RunningSystem,
  page: MeasuredPage,
  { people, pages }: { people: number; pages: number },
): Promise<number[]> {
  const onepass = connect(address);
  try {
    const beyond: number[] = [];
    for (let call = 0; call < pages; call += 1) {
      const since = performance.now();
      const { stages } = await onepass.recommend({ person: user(personId(call % people)), ...page });
      const took = performance.now() - since;
      beyond.push(
        took - stages.filter(({ stage }) => WAITED_FOR.has(stage)).reduce((sum, { micros }) => sum + micros, 0) / 1000,
      );
    }
    return beyond;
  } finally {
    onepass.close();
  }
}

const WAITED_FOR = new Set(['encode', 'retrieve', 'rank']);
