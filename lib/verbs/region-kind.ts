import { RegionKind } from '../internal/layout';

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
