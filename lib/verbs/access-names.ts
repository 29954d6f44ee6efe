import { type Access } from './access';
import { u32 } from '../internal/arguments';
import { namesOfRights } from '../internal/right-names';

/**
 * The names of the rights in a mask: `accessNames(5)` is `['LocalWrite', 'RemoteRead']`.
 *
 * @param mask - bits of {@link Access}, 0..2^32-1
 * @returns one name for each bit, in the order of the bits, and bits that have no name together as a hex string; empty for 0, which
 *   still lets local elements be read
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function accessNames(mask: Access): string[] {
  return namesOfRights(u32(mask, 'mask'));
}
