import { type Access } from './access';
import { joinRights } from '../internal/right-names';
import { type RegionFacts } from './explanation-facts';
import { hex } from '../internal/words';

/** 2^64: one past the highest address. */
export const TOP = 2n ** 64n;

/** Formats an access mask: `LocalWrite|RemoteRead`; `no rights` for 0; bits without a name as a number. */
export function rightsOf(access: Access): string {
  return joinRights(access, '|', 'no rights');
}

const kindNames: Readonly<Record<RegionFacts['kind'], string>> = {
  USER: 'user memory',
  DMA: 'all DMA memory',
  MEM_REG: 'a scatter-gather list',
  FMR: 'a page list',
};

/** Describes a region: `region 3 (user memory, key 0x8a01, over a SharedArrayBuffer from byte 64 on)`. */
export function nameOfRegion({ id, kind, key, memory, own }: RegionFacts): string {
  const over =
    memory &&
    `, over ${memory.kind === 'ArrayBuffer' ? 'an' : 'a'} ${memory.kind} from byte ${memory.offset}`;
  return `region ${id} (${kindNames[kind]}, key ${hex(key)}${over ?? ''}${own ? '' : ', created by another thread'})`;
}

/** Formats a range of addresses, both ends inclusive: `0x1000 to 0x1fff`. */
export function range(first: bigint, length: bigint): string {
  return `${hex(first)} to ${hex((first + length - 1n) % TOP)}`;
}
