import { PAGE } from './numbers';
import type { ProtectionDomain, QueuePair, Region, RegionKind, Sge } from './region';
import { KeyTable } from './table';
import type { Answer, Errno, InitOp } from './trace-types';

/** Thrown by the lookups below before anything has changed; the answer to the operation is then `skipped`. */
export class NamesNothing extends Error {}

/** The state between an `init` and its `exit`. */
export class Session {
  readonly table: KeyTable;
  readonly dmaStart: bigint;
  readonly dmaEnd: bigint;
  published: Region | undefined = undefined;
  readonly pds = new Map<string, ProtectionDomain>();
  readonly qps = new Map<string, QueuePair>();
  readonly regions = new Map<string, Region>();
  readonly sges = new Map<string, Sge>();

  constructor(op: InitOp) {
    this.table = new KeyTable(op.lkey_table_bits);
    this.dmaStart = BigInt(op.dma_base);
    this.dmaEnd = this.dmaStart + BigInt(op.dma_pages) * PAGE;
  }

  pd(id: string): ProtectionDomain {
    return named(this.pds.get(id));
  }

  qp(id: string): QueuePair {
    return named(this.qps.get(id));
  }

  region(id: string): Region {
    return named(this.regions.get(id));
  }

  regionOf(id: string, kinds: readonly RegionKind[]): Region {
    const region = this.region(id);
    return named(kinds.includes(region.kind) ? region : undefined);
  }

  sge(id: string): Sge {
    return named(this.sges.get(id));
  }

  /**
   * Returns whether a range lies inside DMA memory. A trace has a single DMA mapping, so such a range never spans two mappings.
   */
  insideDma(address: bigint, length: bigint): boolean {
    return address >= this.dmaStart && address + length <= this.dmaEnd;
  }

  bindSge(sge: Sge): void {
    this.sges.set(sge.id, sge);
    sge.region.held += 1;
  }

  putSge(sge: Sge): void {
    this.sges.delete(sge.id);
    sge.region.held -= 1;
  }
}

function named<T>(object: T | undefined): T {
  if (object === undefined) throw new NamesNothing();
  return object;
}

export function refuse(err: Errno): Answer {
  return { err };
}
