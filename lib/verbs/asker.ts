import { type NativeProtectionDomain, type NativeQueuePair } from '../internal/native';
import { type RegionTable } from './region-registry';

/**
 * The object on whose behalf an access is checked: a protection domain (local checks) or a queue pair (checks of its peer's
 * requests).
 */
export interface Asker {
  /** The native object. Keeping a reference to it keeps `number` valid. */
  readonly native: NativeProtectionDomain | NativeQueuePair;
  /** Identifies the domain or queue pair to the native module, in the command block. */
  readonly number: number;
  /** The value of {@link ProtectionDomain.id} or {@link QueuePair.id}. */
  readonly id: number;
  /** Whether the checks are remote, that is, whether the object is a queue pair. */
  readonly remote: boolean;
  readonly table: RegionTable;
}
