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
  CheckedPlace,
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
export { type AllocDmOptions, DeviceMemory } from './verbs/device-memory';
export { type DeviceToken } from './verbs/device-token';
export { Checker } from './verbs/checker';
export { type DmaMapOptions, DmaMapping, DmaSpace } from './verbs/dma';
export { type CountName, type ErrorCause, type ErrorDetail } from './internal/error-detail';
export { type ErrnoName, RdmaError } from './internal/errors';
export { type Explanation } from './internal/failure';
export { FastMemoryRegion } from './verbs/fast-memory-region';
export { fastRegKey, lkey, type Lkey, rkey, type Rkey } from './verbs/keys';
export { type AddonsDisabledError } from './internal/addons-disabled';
export { type MissingBinaryError, type StaleBinaryError } from './internal/binary-errors';
export { type MemoryLike } from './internal/memory-argument';
export { type MapSgOptions, MemoryRegion, type SgEntry } from './verbs/memory-region';
export {
  type AllocFmrOptions,
  type AllocMrOptions,
  type DeallocPdOptions,
  type GetDmaMrOptions,
  type AcquireOptions,
  type LocalSge,
  type MrType,
  ProtectionDomain,
  type RegUserMrOptions,
} from './verbs/protection-domain';
export { type FastRegMrOptions, QueuePair, type RemoteRequest } from './verbs/queue-pair';
export {
  checkReasons,
  type CheckReason,
  dataPathReasons,
  type DataPathReason,
  type RefusalReason,
} from './internal/reasons';
export { type Region, type RegionState, type DeregAsyncOptions, type DeregOptions } from './verbs/region';
export { type AnyRegion } from './verbs/region-registry';
export { type CopyFromOptions, type CopyToOptions, Sge } from './verbs/sge';
export type {
  DmaMappingResource,
  DmResource,
  PdResource,
  QpResource,
  RegionResource,
  Resource,
  Resources,
} from './verbs/resources';
export { type BatchAcquireOptions, CheckBatch, type CheckBatchOptions } from './verbs/check-batch';
export { type ConsumeOptions, type CopyInOptions, type Fragment, SgeState } from './verbs/sge-state';
