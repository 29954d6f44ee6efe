import { Access } from './access';
import { u32 } from '../internal/arguments';
import { hex } from '../internal/show';

/** The names of the bits, in their order. */
const NAMES = ['LocalWrite', 'RemoteWrite', 'RemoteRead', 'RemoteAtomic', 'MwBind'] as const;

/** As {@link accessNames}, of a number that is known to be a mask. */
export function namesOfAccess(mask: number): string[] {
  const names: string[] = [];
  let rest = mask;
  NAMES.forEach((name) => {
    if (!(mask & Access[name])) return;
    names[names.length] = name;
    rest &= ~Access[name];
  });
  if (rest !== 0) names[names.length] = hex(rest >>> 0);
  return names;
}

/**
 * The names of the rights in a mask: `accessNames(5)` is `['LocalWrite', 'RemoteRead']`.
 *
 * @param mask - bits of {@link Access}, 0..2^32-1
 * @returns one name for each bit, in the order of the bits, and bits that have no name together as a hex string; empty for 0, which
 *   still lets local elements be read
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function accessNames(mask: Access): string[] {
  return namesOfAccess(u32(mask, 'mask'));
}
