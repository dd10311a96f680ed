import type { DeviceKv, DeviceTrunk } from '@onepass/device-trunk';
import type { RunTerms } from '@onepass/inference';
import {
  type EncodeAsk,
  type PassPast,
  passRows,
  type ServedModel,
  type Trunk,
  type TrunkPass,
  writePassRows,
} from '@onepass/user-encoder';
import { RoleLoad } from './role-load.js';

/** The user-encoder's side of a trunk on a device: people's passes join each other's runs, and their KV stays there. */
export class DeviceEncoder implements Trunk {
  readonly load: RoleLoad;
  readonly #trunk: DeviceTrunk;
  readonly #model: ServedModel;

  constructor(trunk: DeviceTrunk, model: ServedModel) {
    this.#trunk = trunk;
    this.#model = model;
    this.load = new RoleLoad(() => trunk.stats().waiting.encode);
  }

  get kv(): DeviceKv {
    return this.#trunk.kv;
  }

  get isIdle(): boolean {
    const { waiting, running } = this.#trunk.stats();
    return running + waiting.encode + waiting.rank === 0;
  }

  async encode(past: PassPast, ask: EncodeAsk, terms: RunTerms): Promise<TrunkPass> {
    const { slot, tokens, head } = past;
    const rows = new Float32Array(passRows(past, ask) * this.#model.layout.features);
    writePassRows(this.#model, past, ask, rows);
    const asked = { state: slot, from: slot?.length ?? 0, rows, tokens: tokens.length, ...head };
    const { hidden, timing } = await this.load.during(() => this.#trunk.encode(asked, terms));
    return { hidden, timing };
  }
}
