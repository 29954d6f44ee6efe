/** The names of refusal reasons. */
import { native } from './native';

/**
 * Why a check refused an access, in the order of the tests: the first test that fails determines the reason.
 *
 * The reason for a key that no longer works changes over time. It is `Revoked` while the key's slot of the key table is empty and
 * the key was the last one in the slot, `StaleKey` while another region occupies the slot, and `NoSuchKey` after that region is
 * released. So a program must not expect a revoked key to be refused with `Revoked` forever.
 */
export const checkReasons = [
  /** The domain or queue pair of the check is closed, or its device is closed. */
  'Closed',
  /** Key 0 was used in a user domain, or by a peer of a device without `remoteKeyZero`. */
  'KeyZeroDenied',
  /** Key 0 was used, but no DMA region is published. */
  'NoDmaRegion',
  /** The key's slot of the key table is empty. */
  'NoSuchKey',
  /** The key's slot is empty, and this key was the last one in it: its region has been released. */
  'Revoked',
  /** The key's slot holds a region under another key. */
  'StaleKey',
  /** The key was invalidated with `invalidateRkey`. */
  'Invalidated',
  /** The region belongs to another protection domain. */
  'WrongPd',
  /** Some byte lies outside the region. With key 0: the range begins in a DMA mapping and ends outside it. */
  'OutOfBounds',
  /** The region does not grant the requested access. */
  'AccessDenied',
  /** The access is inside the bounds, but no segment or DMA mapping covers it. */
  'Unmapped',
  /** The key is that of a memory window that is not bound, or not any more. */
  'WindowUnbound',
  /** The key of a memory window or a lease was used as an lkey: only peers may use it. */
  'WindowLocal',
  /** The memory window or the lease is for the peer of another queue pair. */
  'WindowOtherQp',
  /** The time of the lease is over. */
  'LeaseExpired',
] as const;

/** Why an access to the bytes of an accepted element was refused. */
export const dataPathReasons = [
  /** The check that accepted the element did not cover this use. */
  'AccessDenied',
  /** The buffer was transferred or replaced after its registration. */
  'MemoryDetached',
  /** The buffer was shrunk and no longer holds all registered bytes. */
  'MemoryShrunk',
  /** The region was mapped again or unmapped after the element was accepted. */
  'Remapped',
  /** The region was released by force, or its domain or device was closed. */
  'RegionRevoked',
  /** Only the environment (thread) that registered the bytes can access them. */
  'OtherEnvironment',
  /** The element was accepted through a memory window or a lease that was unbound, deallocated or revoked since. */
  'WindowEnded',
  /** The element was accepted through a lease whose time is over. */
  'LeaseExpired',
] as const;

/** A reason with which a check refuses an access; see {@link ProtectionDomain.acquire} and {@link QueuePair.acquire}. */
export type CheckReason = (typeof checkReasons)[number];

/** A reason with which a method that accesses bytes fails; see {@link RdmaError.reason}. */
export type DataPathReason = (typeof dataPathReasons)[number];

/** Every reason for which an access can be refused. */
export type RefusalReason = CheckReason | DataPathReason;

/** Returns the name of a check's reason by the native module's number. */
export function checkReason(number: number): CheckReason {
  return native.reasonNames[number] as CheckReason;
}

/** Returns the name of a data path reason by the native module's number. */
export function dataPathReason(number: number): DataPathReason {
  return native.reasonNames[number] as DataPathReason;
}

/** Returns the name of any reason by the native module's number; undefined if the number is not a reason. */
export function reasonOf(number: number): RefusalReason | undefined {
  return number > 0 ? (native.reasonNames[number] as RefusalReason | undefined) : undefined;
}
