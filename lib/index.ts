/**
 * RDMA memory protection for JavaScript memory: memory regions, protection domains, keys, and the checks of every local and
 * remote access.
 *
 * @packageDocumentation
 */
export { Access, type AccessBits } from './verbs/access';
export { accessNames } from './verbs/access-names';
export {
  type Advertisement,
  type AdvertiseOptions,
  type LeaseOptions,
  formatAdvertisement,
  packAdvertisement,
  parseAdvertisement,
} from './verbs/advertisement';
export type {
  Accepted,
  Coalesced,
  LocalCheck,
  Placed,
  CheckedPlace,
  RemoteCheck,
} from './verbs/check-result';
export { type Refused, type RefusedRequest } from './verbs/refusal';
export { type RefusedMessage } from './verbs/refused-message';
export {
  type CompletionCounters,
  type Counters,
  type CountersOptions,
  type RegionCounters,
} from './verbs/counters';
export { grhSource } from './verbs/grh';
export { AddressHandle, type CreateAhOptions, type ShownAddressHandle } from './verbs/address-handle';
export { Completion, type ShownCompletion } from './verbs/completion';
export {
  type ArmOptions,
  CompletionQueue,
  type CompletionQueueEvents,
  type CreateCqOptions,
  type RingCompletionQueue,
  type ShownCompletionQueue,
} from './verbs/completion-queue';
export { CompletionRing, type ShownCompletionRing } from './verbs/completion-ring';
export {
  type CreateSrqOptions,
  SharedReceiveQueue,
  type SharedReceiveQueueEvents,
  type ShownSharedReceiveQueue,
  type SrqAttributes,
  type SrqQuery,
} from './verbs/shared-receive-queue';
export { RecvQueue, type ShownRecvQueue } from './verbs/recv-queue';
export { SendQueue, type ShownSendQueue } from './verbs/send-queue';
export { type EventSource, type EventsOf, type ListenerOf, type VerbsEmitter } from './verbs/verbs-emitter';
export { type DeviceLimits } from './internal/device-limits';
export {
  type AllocPdOptions,
  type AttachOptions,
  type CloseOptions,
  type DetachOptions,
  Device,
  type DeviceOptions,
  type EngineMode,
  type FiredTimer,
  type KeyPolicy,
  type KeySlots,
  type KeyTable,
  type KeyTableRow,
  type PortAttributes,
  type RunOptions,
  type ShareOptions,
  type ShownDevice,
} from './verbs/device';
export {
  type DeviceFaults,
  type FaultCounter,
  type FaultCounters,
  type FaultName,
  type FaultRule,
  type LatePacketFault,
  type PacketDirection,
  type PacketFault,
  type RefuseFault,
  type SlowFault,
} from './verbs/faults';
export { type DeviceProfile, type StrictOptions } from './verbs/strict';
export { type AllocDmOptions, DeviceMemory, type ShownDeviceMemory } from './verbs/device-memory';
export {
  Endpoint,
  type EndpointCounters,
  type EndpointEvents,
  type EndpointOptions,
  type ShownEndpoint,
  type WireAddress,
} from './verbs/endpoint';
export type {
  AcceptOptions,
  Connection,
  ConnectionListener,
  ConnectionOptions,
  ConnectionPeer,
  ConnectionRequest,
  DisconnectedBy,
  ListenOptions,
  ServiceConnectOptions,
} from './verbs/connection-options';
export type { ConnectionCounters } from './verbs/connections';
export type { NakClass, WireOperation, WireRefusal } from './verbs/wire-refusal';
export { type DeviceToken } from './verbs/device-token';
export { Checker, type ShownChecker } from './verbs/checker';
export {
  type DmaMapOptions,
  DmaMapping,
  DmaSpace,
  type ShownDmaMapping,
  type ShownDmaSpace,
} from './verbs/dma';
export { type ErrnoName, RdmaError } from './internal/errors';
export { type CountName, type ErrorCause, type ErrorDetail } from './internal/error-detail';
export { type Explanation } from './internal/failure';
export { FastMemoryRegion } from './verbs/fast-memory-region';
export { fastRegKey, lkey, type Lkey, rkey, type Rkey } from './verbs/keys';
export { type AddonsDisabledError } from './internal/addons-disabled';
export { type MissingBinaryError, type StaleBinaryError } from './internal/binary-errors';
export { type MemoryLike } from './internal/memory-argument';
export { Lease, type LeaseState, type ShownLease } from './verbs/lease';
export { MemoryWindow, type MemoryWindowState, type ShownMemoryWindow } from './verbs/memory-window';
export { type ReregOptions, type ReregTranslation } from './verbs/rereg';
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
  type ShownProtectionDomain,
} from './verbs/protection-domain';
export { CompletionError } from './verbs/completion-error';
export type { AlternatePath, PathAddress, PathMtu, QpAttributes, QpQuery } from './verbs/qp-attributes';
export { type QpType } from './verbs/qp-types';
export type {
  CompareSwapRequest,
  DatagramDestination,
  FetchAddRequest,
  LocalInvRequest,
  RcRequest,
  RdmaReadRequest,
  RdmaWriteRequest,
  RdmaWriteWithImmRequest,
  ReceiveWorkRequest,
  BindMwRequest,
  RegMrRequest,
  RemoteTarget,
  SendOpcode,
  SendRequest,
  SendWithImmRequest,
  SendWithInvRequest,
  SendWorkRequest,
  SendWorkRequestBase,
  UcRequest,
  UdRequest,
} from './verbs/work-requests';
export { QueuePair, type QueuePairEvents, type ShownQueuePair } from './verbs/queue-pair';
export {
  type ActivateOptions,
  type ConnectOptions,
  type CreateQpOptions,
  type FastRegMrOptions,
  type OperationOptions,
  type RemoteMemory,
  type RemoteRequest,
  type SendOptions,
  type WireConnectOptions,
  type WriteOptions,
} from './verbs/queue-pair-options';
export {
  checkReasons,
  type CheckReason,
  dataPathReasons,
  type DataPathReason,
  type RefusalReason,
} from './internal/reasons';
export {
  type AbortSignalLike,
  type Region,
  type RegionState,
  type DeregAsyncOptions,
  type DeregOptions,
  type ShownRegion,
} from './verbs/region';
export { RegionUse, type ShownRegionUse } from './verbs/region-use';
export {
  type CloseCacheOptions,
  RegistrationCache,
  type RegistrationCacheCounters,
  type RegistrationCacheOptions,
  type ShownRegistrationCache,
} from './verbs/registration-cache';
export { type RegionKindName } from './internal/region-kind';
export { type AnyRegion } from './verbs/region-registry';
export { type CopyFromOptions, type CopyToOptions, Sge, type ShownSge } from './verbs/sge';
export type {
  AhResource,
  CqResource,
  DmaMappingResource,
  DmResource,
  ElementResource,
  MemoryPlace,
  PdResource,
  QpResource,
  RegionResource,
  WindowResource,
  Resource,
  Resources,
  SrqResource,
} from './verbs/resources';
export type {
  DmaMappingJson,
  ElementJson,
  MemoryPlaceJson,
  RegionJson,
  WindowJson,
  ResourcesJson,
} from './verbs/resources-json';
export type {
  MigrationStateName,
  QpAttributeName,
  QpStateName,
  QpTypeName,
  WcOpcodeName,
  WrOpcodeName,
} from './internal/verbs-names';
export { type WcStatusName, wcStatusNames } from './internal/verbs-names';
export { type CompletionReason, completionReasons } from './internal/wc-causes';
export { type Shown } from './internal/show';
export {
  type BatchAcquireOptions,
  type BatchCopyOptions,
  CheckBatch,
  type CheckBatchOptions,
  type ShownCheckBatch,
} from './verbs/check-batch';
export {
  type ConsumeOptions,
  type CopyInOptions,
  type Fragment,
  SgeState,
  type ShownSgeState,
} from './verbs/sge-state';
export { CaptureExplanation, type ExplainOptions, explainCapture } from './explain/explain-capture';
export { CaptureError } from './explain/capture-source';
export type { ExplainedCm, ExplainedRequest, RequestOutcome } from './explain/explained-request';
export type { RequestOpcode } from './explain/opcodes';
export { type FindingKind, findingKinds } from './explain/findings';
export type {
  CaptureDropped,
  CaptureFinding,
  CaptureKey,
  CaptureQueuePair,
  CaptureSummary,
} from './explain/summary';
