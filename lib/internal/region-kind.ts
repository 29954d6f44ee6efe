/** The names of kinds, of regions and of the memory behind them. */
import { MemoryKind, RegionKind } from './layout';

/** How a region was made, by the name that {@link RegionResource.kind} has. */
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

/** What has become of a region that is there: see {@link RegionState}. */
export function liveState(isHalfDead: boolean, isValid: boolean): 'HalfDead' | 'Valid' | 'Invalid' {
  return isHalfDead ? 'HalfDead' : isValid ? 'Valid' : 'Invalid';
}

/** What memory is behind a region or mapping, by the name that {@link MemoryPlace.kind} has. */
export type MemoryKindName = 'ArrayBuffer' | 'SharedArrayBuffer' | 'DeviceMemory';

const memoryNames: Readonly<Record<number, MemoryKindName | undefined>> = {
  [MemoryKind.ArrayBuffer]: 'ArrayBuffer',
  [MemoryKind.Shared]: 'SharedArrayBuffer',
  [MemoryKind.Device]: 'DeviceMemory',
};

/** Returns undefined where no memory of its own is behind. */
export function memoryKindName(kind: number): MemoryKindName | undefined {
  return memoryNames[kind];
}
