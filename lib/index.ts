/**
 * RDMA memory protection: memory regions, protection domains, keys, and the validation of every local and remote access, on
 * memory that JavaScript has.
 *
 * @packageDocumentation
 */
export { Access, type AccessBits } from './access';
export type {
  Accepted,
  Coalesced,
  LocalCheck,
  Placed,
  PlaceCheck,
  Refused,
  RemoteCheck,
} from './check-result';
export { type Counters, type CountersOptions, type RegionCounters } from './counters';
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
} from './device';
export { type AllocMemoryOptions, DeviceMemory } from './device-memory';
export { type DeviceToken } from './device-token';
export { CheckBlock } from './check-block';
export { type DmaMapOptions, DmaMapping, DmaSpace } from './dma';
export { type ErrnoName, RdmaError } from './errors';
export { FastMemoryRegion } from './fast-memory-region';
export { keyVariant, lkey, type Lkey, rkey, type Rkey } from './keys';
export { type MissingBinaryError } from './load-native';
export { type Memory } from './memory-argument';
export { type MapSgOptions, MemoryRegion, type ScatterElement } from './memory-region';
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
} from './protection-domain';
export { type FastRegOptions, QueuePair, type RemoteRequest } from './queue-pair';
export {
  checkReasons,
  type CheckReason,
  dataPathReasons,
  type DataPathReason,
  type RefusalReason,
} from './reasons';
export { type Region, type RegionState, type ReleaseAsyncOptions, type ReleaseOptions } from './region';
export { type AnyRegion } from './region-registry';
export { type CopyFromOptions, type CopyToOptions, Sge } from './sge';
export type {
  MappingResource,
  MemoryResource,
  PdResource,
  QueuePairResource,
  RegionResource,
  Resource,
  Resources,
} from './resources';
export { type AcquireOptions, SgeBatch, type SgeBatchOptions } from './sge-batch';
export { type ConsumeOptions, type CopyInOptions, type Fragment, SgeState } from './sge-state';
