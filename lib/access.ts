import { u32 } from './arguments';
import { RdmaError } from './errors';

/** Access rights, the field's own bits (`IB_ACCESS_*`): `Access.LocalWrite | Access.RemoteRead`. */
export const Access = Object.freeze({
  /** Local elements may be written (reading is always allowed). */
  LocalWrite: 1,
  /** Peers may write. Needs `LocalWrite`. */
  RemoteWrite: 2,
  /** Peers may read. */
  RemoteRead: 4,
  /** Peers may use 8-byte atomics. Needs `LocalWrite`. */
  RemoteAtomic: 8,
  /** Memory windows may be bound. */
  MwBind: 16,
});

/** One bit of {@link Access}, or several. */
export type Access = number;

const ALL = 31;

/**
 * The rights a region is to be given: the verbs core's rule, which stands above the driver in the kernel too
 * (`ib_check_mr_access`). Not for the access that a check asks for, where any bits may be.
 *
 * @throws RdmaError `EINVAL`: an unknown bit, or remote write or remote atomic without local write
 */
export function grantedAccess(operation: string, value: unknown, name: string): Access {
  const access = knownAccess(operation, value, name);
  if (access & (Access.RemoteWrite | Access.RemoteAtomic) && !(access & Access.LocalWrite)) {
    throw new RdmaError(operation, 'EINVAL');
  }
  return access;
}

/** The same for a region whose access is never looked at: only unknown bits are refused. */
export function knownAccess(operation: string, value: unknown, name: string): Access {
  const access = u32(value, name);
  if (access & ~ALL) throw new RdmaError(operation, 'EINVAL');
  return access;
}
