import { type Access } from './access';
import { AccessBit } from '../internal/layout';
import { type RegionFacts } from './explanation-facts';

/** 2^64: where addresses end. */
export const TOP = 2n ** 64n;

/** `0x1000`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** `1 byte`, `16 bytes`. */
export function bytes(count: number | bigint): string {
  return `${count} byte${BigInt(count) === 1n ? '' : 's'}`;
}

const rights: readonly (readonly [number, string])[] = [
  [AccessBit.LocalWrite, 'LocalWrite'],
  [AccessBit.RemoteWrite, 'RemoteWrite'],
  [AccessBit.RemoteRead, 'RemoteRead'],
  [AccessBit.RemoteAtomic, 'RemoteAtomic'],
  [AccessBit.MwBind, 'MwBind'],
];

/** `LocalWrite|RemoteRead`; `no right` for 0; bits without a name as a number. */
export function rightsOf(access: Access): string {
  let text = '';
  let rest = access;

  for (let i = 0; i < rights.length; i++) {
    const bit = rights[i]?.[0] ?? 0;
    const name = rights[i]?.[1] ?? '';
    if ((access & bit) === 0) continue;
    text += text === '' ? name : `|${name}`;
    rest &= ~bit;
  }
  if (rest !== 0) text += `${text === '' ? '' : '|'}${hex(rest >>> 0)}`;
  return text === '' ? 'no right' : text;
}

const kindNames: Readonly<Record<RegionFacts['kind'], string>> = {
  USER: 'user memory',
  DMA: 'all DMA memory',
  MEM_REG: 'a scatter-gather list',
  FMR: 'a page list',
};

/** `region 3 (user memory, key 0x8a01)`. */
export function nameOfRegion(region: RegionFacts): string {
  return `region ${region.id} (${kindNames[region.kind]}, key ${hex(region.key)}${region.own ? '' : ', made by another thread'})`;
}

/** `0x1000 to 0x1fff`, both included. */
export function range(first: bigint, length: bigint): string {
  return `${hex(first)} to ${hex((first + length - 1n) % TOP)}`;
}
