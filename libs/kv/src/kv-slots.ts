import type { Visit } from './eviction-order.js';
import type { KvReference } from './reference.js';
import type { KvRefusal } from './slot-book.js';
import type { SlotContent } from './slot-header.js';
import type { SlotState } from './slot-tenancies.js';
import type { KvPoolStats } from './writer.js';

/** What is done with people's slots wherever their bytes lie: by `KvPoolWriter` in shared memory, by `DeviceKv` on a device. Each verb as there. */
export interface KvSlots {
  lookup(personKey: string, visit?: Visit): SlotState | undefined;
  allocate(personKey: string, tokens: number, visit?: Visit): SlotState | KvRefusal;
  grow(state: SlotState, tokens: number): KvRefusal | undefined;
  lease(state: SlotState): void;
  release(state: SlotState): void;
  publish(state: SlotState, content: SlotContent): void;
  retire(personKey: string): void;
  /** Once it has returned, or what it gave has resolved, no byte of the person is left. */
  forget(personKey: string): Promise<void> | void;
  reference(state: SlotState): KvReference;
  stats(): KvPoolStats;
}
