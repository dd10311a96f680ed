import { OnepassError } from '@onepass/errors';
import type { FindingKind } from '../report/index.js';
import { measureWhere } from '../where/index.js';
import type { Ground } from './ground.js';
import type { Bed } from './plan.js';

/** Where the time of A's page goes, unless that was found before: its waterfall, and the CPU of each process. */
export async function takeApart(bed: Bed, ground: Ground): Promise<void> {
  const { store, release, cut, missed } = ground;
  const keyOf = (kind: FindingKind, detail?: string) =>
    store.keyOf({ kind, release: release.manifest.id, shape: bed.shape, system: 'A', ...(detail && { detail }) });
  // Written last.
  const whole = keyOf('waterfall');
  if (cut.aborted || store.has(whole)) return;
  try {
    const { waterfall, cpu, flames } = await measureWhere(bed, ground);
    for (const one of cpu) await store.append('cpu', keyOf('cpu', one.process), one);
    for (const one of flames) await store.append('flame', keyOf('flame', one.process), one);
    await store.append('waterfall', whole, waterfall);
  } catch (thrown) {
    const error = OnepassError.from(thrown);
    if (error.kind !== 'startup') throw thrown;
    missed(`Where the time goes was not measured: ${error.message}.`);
  }
}
