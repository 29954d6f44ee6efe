import { outOfRange, u32 } from '../internal/arguments';
import { AccessBit } from '../internal/layout';

/**
 * Whether the access of a peer's request is exactly one remote right. With several bits the port's rule for peers, any one of
 * them, would prove too much: RemoteWrite | LocalWrite passes on memory that only this program may write.
 */
export function isRemoteRight(access: unknown): access is number {
  return (
    access === AccessBit.RemoteRead || access === AccessBit.RemoteWrite || access === AccessBit.RemoteAtomic
  );
}

/**
 * The error for an access that is no single remote right.
 *
 * @param rights - which ones may be asked for here, for the message
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`), if it is no u32 to begin with
 */
export function remoteRightError(
  access: unknown,
  name = 'access',
  rights = 'exactly one of Access.RemoteRead (4), Access.RemoteWrite (2) and Access.RemoteAtomic (8), because a peer requests one operation',
): RangeError {
  return outOfRange(name, rights, u32(access, name));
}
