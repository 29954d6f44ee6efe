import { type NativeProtectionDomain, type NativeQueuePair } from '../internal/native';
import { type RegionTable } from './region-registry';

/** In whose name accesses are judged: a protection domain, for itself, or a queue pair, for its peer. */
export interface Asker {
  /** Keeps `number` valid. */
  readonly native: NativeProtectionDomain | NativeQueuePair;
  /** Identifies it in the command block. */
  readonly number: number;
  /** As {@link ProtectionDomain.id} or {@link QueuePair.id}. */
  readonly id: number;
  /** Whether it is a queue pair, so that its checks are remote ones. */
  readonly remote: boolean;
  readonly table: RegionTable;
}
