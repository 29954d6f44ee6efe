/** Names of access rights. */
import { AccessBit } from './layout';
import { hex } from './words';

const bits: readonly (readonly [bit: number, name: string])[] = [
  [AccessBit.LocalWrite, 'LocalWrite'],
  [AccessBit.RemoteWrite, 'RemoteWrite'],
  [AccessBit.RemoteRead, 'RemoteRead'],
  [AccessBit.RemoteAtomic, 'RemoteAtomic'],
  [AccessBit.MwBind, 'MwBind'],
];

/** Returns the names of the rights in a mask, in bit order; unnamed bits together as one hex number. Empty for 0. */
export function namesOfRights(mask: number): string[] {
  const names: string[] = [];
  let rest = mask;
  for (let i = 0; i < bits.length; i++) {
    const bit = bits[i]?.[0] ?? 0;
    if ((mask & bit) === 0) continue;
    names[names.length] = bits[i]?.[1] ?? '';
    rest &= ~bit;
  }
  if (rest !== 0) names[names.length] = hex(rest >>> 0);
  return names;
}

/**
 * Joins the names of the rights in a mask.
 *
 * @param between - separator between two names
 * @param none - text for the mask 0
 */
export function joinRights(mask: number, between: string, none: string): string {
  const names = namesOfRights(mask);
  let text = '';
  for (let i = 0; i < names.length; i++) text += `${i === 0 ? '' : between}${names[i] ?? ''}`;
  return text === '' ? none : text;
}
