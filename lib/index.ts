/**
 * RDMA memory protection: memory regions, protection domains, keys, and the validation of every local and remote access, on
 * memory that JavaScript has.
 *
 * @packageDocumentation
 */
export { Access, type AccessBits } from './verbs/access';
export type {
  Accepted,
  Coalesced,
  LocalCheck,
  Placed,
  PlaceCheck,
  Refused,
  RemoteCheck,
} from './verbs/check-result';
export { type Counters, type CountersOptions, type RegionCounters } from './verbs/counters';
export {
  type AllocPdOptions,
  type AttachOptions,
  type CloseOptions,
  type DetachOptions,
  Device,
  type DeviceOptions,
  type KeyPolicy,
  type KeyTable,
  type KeyTableRow,
} from './verbs/device';
export { type AllocMemoryOptions, DeviceMemory } from './verbs/device-memory';
export { type DeviceToken } from './verbs/device-token';
export { CheckBlock } from './verbs/check-block';
export { type DmaMapOptions, DmaMapping, DmaSpace } from './verbs/dma';
export { type ErrnoName, RdmaError } from './internal/errors';
export { FastMemoryRegion } from './verbs/fast-memory-region';
export { keyVariant, lkey, type Lkey, rkey, type Rkey } from './verbs/keys';
export { type AddonsDisabledError } from './internal/addons-disabled';
export { type MissingBinaryError } from './internal/load-native';
export { type Memory } from './internal/memory-argument';
export { type MapSgOptions, MemoryRegion, type ScatterElement } from './verbs/memory-region';
export {
  type AllocFmrOptions,
  type AllocMrOptions,
  type DeallocPdOptions,
  type GetDmaMrOptions,
  type LkeyOkOptions,
  type LocalElement,
  type MrType,
  ProtectionDomain,
  type RegUserMrOptions,
} from './verbs/protection-domain';
export { type FastRegOptions, QueuePair, type RemoteRequest } from './verbs/queue-pair';
export {
  checkReasons,
  type CheckReason,
  dataPathReasons,
  type DataPathReason,
  type RefusalReason,
} from './internal/reasons';
export { type Region, type RegionState, type ReleaseAsyncOptions, type ReleaseOptions } from './verbs/region';
export { type AnyRegion } from './verbs/region-registry';
export { type CopyFromOptions, type CopyToOptions, Sge } from './verbs/sge';
export type {
  MappingResource,
  MemoryResource,
  PdResource,
  QueuePairResource,
  RegionResource,
  Resource,
  Resources,
} from './verbs/resources';
export { type AcquireOptions, SgeBatch, type SgeBatchOptions } from './verbs/sge-batch';
export { type ConsumeOptions, type CopyInOptions, type Fragment, SgeState } from './verbs/sge-state';
