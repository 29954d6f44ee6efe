import { u32 } from '../internal/arguments';
import { explainedError } from '../internal/errors';
import { AccessBit } from '../internal/layout';
import { type keyKind } from './keys';
import { type Method } from '../internal/methods';

/** The type of the constant {@link Access}. Numbers, so that a variable that begins as one bit may take others. */
export interface AccessBits {
  /** 1: local elements may be written (reading is always allowed). */
  readonly LocalWrite: number;
  /** 2: peers may write. Needs `LocalWrite`. */
  readonly RemoteWrite: number;
  /** 4: peers may read. */
  readonly RemoteRead: number;
  /** 8: peers may use 8-byte atomics. Needs `LocalWrite`. */
  readonly RemoteAtomic: number;
  /** 16: memory windows may be bound. */
  readonly MwBind: number;
}

/** Access rights, the field's own bits (`IB_ACCESS_*`): `Access.LocalWrite | Access.RemoteRead`. */
export const Access: AccessBits = Object.freeze({
  LocalWrite: AccessBit.LocalWrite,
  RemoteWrite: AccessBit.RemoteWrite,
  RemoteRead: AccessBit.RemoteRead,
  RemoteAtomic: AccessBit.RemoteAtomic,
  MwBind: AccessBit.MwBind,
});

/** One bit of {@link Access}, or several: any number, but no {@link Lkey} or {@link Rkey}, which one might pass in the wrong place. */
export type Access = number & { readonly [keyKind]?: never };

const ALL = Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead | Access.RemoteAtomic | Access.MwBind;

/**
 * The rights a region is to be options: the verbs core's rule, which stands above the driver in the kernel too
 * (`ib_check_mr_access`). Not for the access that a check asks for, where any bits may be.
 *
 * @throws RdmaError `EINVAL`: an unknown bit, or remote write or remote atomic without local write
 */
export function readRegionAccess(method: Method, value: unknown, name: string): Access {
  const access = readAccessBits(method, value, name);
  if (access & (Access.RemoteWrite | Access.RemoteAtomic) && !(access & Access.LocalWrite)) {
    throw explainedError(method, 'EINVAL', 'RightsNeedLocalWrite', {
      value: BigInt(access & (Access.RemoteWrite | Access.RemoteAtomic)),
      argument: name,
    });
  }
  return access;
}

/** The same for a region whose access is never looked at: only unknown bits are refused. */
export function readAccessBits(method: Method, value: unknown, name: string): Access {
  const access = u32(value, name);
  if (access & ~ALL) {
    throw explainedError(method, 'EINVAL', 'UnknownRights', {
      value: BigInt(access),
      limit: BigInt(ALL),
      argument: name,
    });
  }
  return access;
}
