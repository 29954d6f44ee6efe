import { u32 } from '../internal/arguments';
import { explainedError } from '../internal/errors';
import { AccessBit } from '../internal/layout';
import { type keyKind } from './keys';
import { type Method } from '../internal/methods';

/**
 * The type of the constant {@link Access}. The bits are typed as `number`, so a variable initialized with one bit can hold a mask
 * later.
 */
export interface AccessBits {
  /** 1: local elements may write. Local reads are always allowed. */
  readonly LocalWrite: number;
  /** 2: peers may write (RDMA write). Requires `LocalWrite`. */
  readonly RemoteWrite: number;
  /** 4: peers may read (RDMA read). */
  readonly RemoteRead: number;
  /** 8: peers may use 8-byte atomics. Requires `LocalWrite`. */
  readonly RemoteAtomic: number;
  /** 16: memory windows may be bound. */
  readonly MwBind: number;
}

/**
 * Access rights, with the bit values of the verbs (`IB_ACCESS_*`). Combine them with `|`:
 * `Access.LocalWrite | Access.RemoteRead`.
 */
export const Access: AccessBits = Object.freeze({
  LocalWrite: AccessBit.LocalWrite,
  RemoteWrite: AccessBit.RemoteWrite,
  RemoteRead: AccessBit.RemoteRead,
  RemoteAtomic: AccessBit.RemoteAtomic,
  MwBind: AccessBit.MwBind,
});

/**
 * A mask of {@link Access} bits. Accepts any number, but the compiler rejects an {@link Lkey} or {@link Rkey} passed by mistake.
 */
export type Access = number & { readonly [keyKind]?: never };

const ALL = Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead | Access.RemoteAtomic | Access.MwBind;
const NEED_LOCAL_WRITE = Access.RemoteWrite | Access.RemoteAtomic;

/**
 * Checks the rights requested for a region; same rule as the verbs core (`ib_check_mr_access`). Do not use it for the rights that
 * an access requests: a check accepts any bits.
 *
 * @throws RdmaError `EINVAL`: an unknown bit, or remote write or remote atomic without local write
 */
export function readRegionAccess(method: Method, value: unknown, name: string): Access {
  // Tested without a call first, because a get of a registration cache takes little longer than the calls below.
  if (
    typeof value === 'number' &&
    value >>> 0 === value &&
    value <= ALL &&
    ((value & NEED_LOCAL_WRITE) === 0 || (value & Access.LocalWrite) !== 0)
  ) {
    return value + 0; // turns -0 into 0
  }
  const access = readAccessBits(method, value, name);
  if (access & NEED_LOCAL_WRITE && !(access & Access.LocalWrite)) {
    throw explainedError(method, 'EINVAL', 'RightsNeedLocalWrite', {
      value: BigInt(access & NEED_LOCAL_WRITE),
      argument: name,
    });
  }
  return access;
}

/**
 * Checks the rights requested for a region whose rights no check reads. Rejects only unknown bits.
 *
 * @throws RdmaError `EINVAL`: an unknown bit
 */
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
