import type { DeviceTrunk } from '@onepass/device-trunk';
import type { DeviceName } from '@onepass/inference';
import { checkingKv, type RankAsk, type Ranker, type RankRun, type RankTerms } from '@onepass/ranking';
import { type Measurements, NO_SPAN, tellGraphRun } from '@onepass/telemetry';
import { RoleLoad } from './role-load.js';

/** Ranking's side of a trunk on a device: candidates of several people are scored in one run, over KV that the device has. */
export class DeviceRanker implements Ranker {
  readonly provider: DeviceName;
  readonly load: RoleLoad;
  readonly #trunk: DeviceTrunk;
  readonly #measurements: Measurements;

  constructor(trunk: DeviceTrunk, provider: DeviceName, measurements: Measurements) {
    this.#trunk = trunk;
    this.provider = provider;
    this.#measurements = measurements;
    this.load = new RoleLoad(() => trunk.stats().waiting.rank);
  }

  async rank(ask: RankAsk, terms: RankTerms): Promise<RankRun> {
    const { span = NO_SPAN } = terms;
    // The trunk does so too; here it is told of.
    if (ask.kv.length > 0) checkingKv(ask.kv, span, () => this.#trunk.kv.read(ask.kv));
    const { probabilities, timing } = await this.load.during(() => this.#trunk.rank(ask, terms));
    tellGraphRun('rank', timing, { measurements: this.#measurements, span });
    return { probabilities, timing };
  }
}
