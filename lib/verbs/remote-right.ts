import { outOfRange, u32 } from '../internal/arguments';
import { AccessBit } from '../internal/layout';

/**
 * Returns whether a mask is exactly one remote right. The kernel's remote check accepts a request if the region grants any bit of
 * its mask, so a mask of several bits proves too little: RemoteWrite | LocalWrite passes on memory that only this program may
 * write.
 */
export function isRemoteRight(access: unknown): access is number {
  return (
    access === AccessBit.RemoteRead || access === AccessBit.RemoteWrite || access === AccessBit.RemoteAtomic
  );
}

/**
 * Creates the error for a mask that is not a single remote right.
 *
 * @param rights - the rights allowed here, for the message
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`): the mask is not a u32
 */
export function remoteRightError(
  access: unknown,
  name = 'access',
  rights = 'exactly one of Access.RemoteRead (4), Access.RemoteWrite (2) and Access.RemoteAtomic (8), because a peer requests one operation',
): RangeError {
  return outOfRange(name, rights, u32(access, name));
}
