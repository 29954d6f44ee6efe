import { AccessBit } from './layout';
import { hex } from './words';

const bits: readonly (readonly [bit: number, name: string])[] = [
  [AccessBit.LocalWrite, 'LocalWrite'],
  [AccessBit.RemoteWrite, 'RemoteWrite'],
  [AccessBit.RemoteRead, 'RemoteRead'],
  [AccessBit.RemoteAtomic, 'RemoteAtomic'],
  [AccessBit.MwBind, 'MwBind'],
];

/** The names of the rights in a mask, in the order of the bits; bits without a name together as a hex number. Empty for 0. */
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
 * The same in one text.
 *
 * @param between - between two names
 * @param none - for the mask 0
 */
export function joinRights(mask: number, between: string, none: string): string {
  const names = namesOfRights(mask);
  let text = '';
  for (let i = 0; i < names.length; i++) text += `${i === 0 ? '' : between}${names[i] ?? ''}`;
  return text === '' ? none : text;
}
