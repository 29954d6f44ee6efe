import { type Access } from './access';
import { u32 } from '../internal/arguments';
import { namesOfRights } from '../internal/right-names';

/**
 * Returns the names of the access rights in a mask: `accessNames(5)` returns `['LocalWrite', 'RemoteRead']`.
 *
 * @param mask - bits of {@link Access}, 0..2^32-1
 * @returns one name per set bit, lowest bit first; all bits without a name are combined into one hex string at the end. Empty for
 *   0: a region with no rights still allows local reads
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function accessNames(mask: Access): string[] {
  return namesOfRights(u32(mask, 'mask'));
}
