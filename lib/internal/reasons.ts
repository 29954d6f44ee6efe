import { native } from './native';

/**
 * Why a check refused, in the order in which they are told: the first test that fails gives the reason.
 *
 * What a dead key gets changes with time: `Revoked` as long as its slot of the key table is empty and it was the last key there;
 * `StaleKey` while another region is in the slot; `NoSuchKey` when that one is gone, too. So a key that was revoked is never `Revoked`
 * for good, and none of the three should be taken for another.
 */
export const checkReasons = [
  /** The domain or queue pair that asks is closed, or its device is. */
  'Closed',
  /** Key 0 from a user domain, or from a peer while the device forbids it. */
  'KeyZeroDenied',
  /** Key 0, but no DMA region is published. */
  'NoDmaRegion',
  /** The key's table slot is empty. */
  'NoSuchKey',
  /** The slot is empty, and the key it held last was this one: the region is gone. */
  'Revoked',
  /** The slot lives, under another key. */
  'StaleKey',
  /** `invalidateRkey` came first. */
  'Invalidated',
  /** The region belongs to another protection domain. */
  'WrongPd',
  /** Some byte lies outside the region (with key 0: the range begins in a DMA mapping and ends outside it). */
  'OutOfBounds',
  /** The region does not grant the access asked for. */
  'AccessDenied',
  /** Inside the bounds, but no segment or DMA mapping lies there. */
  'Unmapped',
] as const;

/** Why the use of an accepted element's bytes was refused. */
export const dataPathReasons = [
  /** The element was not proven for this use. */
  'AccessDenied',
  /** The buffer was transferred or replaced since its registration. */
  'MemoryDetached',
  /** The buffer does not hold all registered bytes any more. */
  'MemoryShrunk',
  /** The region was mapped or unmapped since the element was accepted. */
  'Remapped',
  /** The region was ended by force, or its parent closed. */
  'RegionRevoked',
  /** The bytes can only be used in the environment (thread) that registered them. */
  'OtherEnvironment',
] as const;

/** A reason of {@link ProtectionDomain.acquire} and {@link QueuePair.acquire}. */
export type CheckReason = (typeof checkReasons)[number];

/** A reason of the methods that use the bytes; see {@link RdmaError.reason}. */
export type DataPathReason = (typeof dataPathReasons)[number];

/** Every reason for which an access can be refused. */
export type RefusalReason = CheckReason | DataPathReason;

/** The name of a check's reason by the native module's number. */
export function checkReason(number: number): CheckReason {
  return native.reasonNames[number] as CheckReason;
}

/** The name of a data path's reason by the native module's number. */
export function dataPathReason(number: number): DataPathReason {
  return native.reasonNames[number] as DataPathReason;
}

/** The name of any reason by the native module's number; undefined for a number that is none. */
export function reasonOf(number: number): RefusalReason | undefined {
  return number > 0 ? (native.reasonNames[number] as RefusalReason | undefined) : undefined;
}
