import { connect, KvSource, user } from '@onepass/client';
import { startupError } from '@onepass/errors';
import { openItems, type Release } from '@onepass/release';
import { habitsOf, type MeasuredPage } from '../../page.js';
import { personId, writeHistories } from '../../people.js';
import type { RunningSystem } from '../systems/running-system.js';
import { MESH_SYSTEMS } from '../systems/systems.js';

/** Tries that a page gets to become whole: after a start the first ones may be late. */
const TRIES = 20;

/**
 * Gives people their histories and asks for each one's page until it is whole, and its KV held where the system keeps any.
 * @throws OnepassError `startup` when a page does not become so
 */
export async function prepareSystem(
  system: RunningSystem,
  release: Release,
  page: MeasuredPage,
  { people, length, nowMs }: { people: number; length: number; nowMs: number },
): Promise<void> {
  const { ids } = await openItems(release);
  await writeHistories(system.address, ids, habitsOf(release, page), { count: people, length, nowMs });
  const onepass = connect(system.address);
  try {
    for (let person = 0; person < people; person += 1) await warm(person);
  } finally {
    onepass.close();
  }

  async function warm(person: number): Promise<void> {
    let problem: string | undefined;
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { degraded, kvSource } = await onepass.recommend({ person: user(personId(person)), ...page });
      problem = degraded.map(({ detail }) => detail).join('; ');
      // Everybody has been held once; who was evicted since is the load's affair.
      if (problem === '' && (!keepsKv(system) || kvSource !== KvSource.EMPTY)) return;
    }
    throw startupError(`system ${system.name}: a page does not become whole: ${problem || 'its history is not seen'}`);
  }
}

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
