/** Names of the kinds and states of regions, and of the kinds of their memory. */
import { MemoryKind, RegionKind } from './layout';

/** How a region was created: the values of {@link RegionResource.kind}. */
export type RegionKindName = 'USER' | 'DMA' | 'MEM_REG' | 'FMR';

const names: Readonly<Record<number, RegionKindName>> = {
  [RegionKind.User]: 'USER',
  [RegionKind.Dma]: 'DMA',
  [RegionKind.MemReg]: 'MEM_REG',
  [RegionKind.Fmr]: 'FMR',
} satisfies Record<RegionKind, RegionKindName>;

export function regionKindName(kind: number): RegionKindName {
  return names[kind] ?? 'USER';
}

/** Returns the state of a region that still exists; see {@link RegionState}. */
export function liveState(isHalfDead: boolean, isValid: boolean): 'HalfDead' | 'Valid' | 'Invalid' {
  return isHalfDead ? 'HalfDead' : isValid ? 'Valid' : 'Invalid';
}

/** Kind of the memory of a region or DMA mapping: the values of {@link MemoryPlace.kind}. */
export type MemoryKindName = 'ArrayBuffer' | 'SharedArrayBuffer' | 'DeviceMemory';

const memoryNames: Readonly<Record<number, MemoryKindName | undefined>> = {
  [MemoryKind.ArrayBuffer]: 'ArrayBuffer',
  [MemoryKind.Shared]: 'SharedArrayBuffer',
  [MemoryKind.Device]: 'DeviceMemory',
};

/** Returns undefined for a region without memory of its own, such as one that maps DMA addresses. */
export function memoryKindName(kind: number): MemoryKindName | undefined {
  return memoryNames[kind];
}
