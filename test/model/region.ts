import { hex, PAGE, pageDown, pageUp } from './numbers';
import type { Location, SgeAnswer } from './trace-types';

export interface ProtectionDomain {
  readonly id: string;
  readonly user: boolean;
}

export interface QueuePair {
  readonly id: string;
  readonly pd: ProtectionDomain;
}

/** The pieces of one size that a region's memory consists of; positions are those of `locate`. */
export interface Segments {
  readonly count: bigint;
  start(index: bigint): bigint;
}

/** Every page that a user buffer touches; position 0 is the buffer's first byte, wherever in its page that lies. */
export class UserPages implements Segments {
  readonly count: bigint;
  readonly #offset: bigint;

  constructor(start: bigint, length: bigint) {
    this.#offset = start % PAGE;
    this.count = (pageUp(start + length) - pageDown(start)) / PAGE;
  }

  start(index: bigint): bigint {
    return index * PAGE - this.#offset;
  }
}

/** A list of DMA addresses. */
export class PageList implements Segments {
  constructor(readonly pages: readonly bigint[]) {}

  get count(): bigint {
    return BigInt(this.pages.length);
  }

  start(index: bigint): bigint {
    const page = this.pages[Number(index)];
    if (page === undefined) throw new Error(`the model reached segment ${index} of ${this.count}`);
    return page;
  }
}

export type RegionKind = 'user' | 'dma' | 'mem_reg' | 'fmr';

/** The fields of SEMANTICS 4. One class for the four kinds: they differ in how they come by their values. */
export class Region {
  /** 0 until the table gave one; a DMA region keeps it. */
  key = 0;
  slot: number | undefined = undefined;
  valid = true;
  base = 0n;
  iova = 0n;
  length = 0n;
  offset = 0n;
  segmentSize = PAGE;
  segments: Segments = new PageList([]);
  /** Segments of an alloc_mr region, pages of an FMR. */
  capacity = 0;
  visibleAddress = 0n;
  visibleLength = 0n;
  /** Counts what was mapped and unmapped, so that an SGE can tell whether its mapping is still the one it saw. */
  mapping = 0;
  /** SGEs that hold the region. */
  held = 0;
  /** Released once while SGEs held it: out of the table, or no longer the published DMA region (SEMANTICS 3). */
  halfDead = false;

  constructor(
    readonly id: string,
    readonly kind: RegionKind,
    readonly pd: ProtectionDomain,
    public access: number,
    /** References that are not an SGE's while the region lives: 3 for the DMA region that got published. */
    readonly ownReferences = 2,
  ) {}

  get references(): number {
    return this.held + (this.halfDead ? 1 : this.ownReferences);
  }

  locate(position: bigint): Location {
    return this.kind === 'user' ? { byte: Number(position) } : { dma: hex(position) };
  }
}

/** An accepted element. It holds one reference on its region until it is put. */
export interface Sge {
  readonly id: string;
  readonly region: Region;
  /** `region.mapping` when the element was accepted. */
  readonly mapping: number;
  /** The address that was asked for, in the address space of the check. */
  readonly address: bigint;
  /** Made by `lkey_ok`, so that it may be a `last`. */
  readonly local: boolean;
  /** The first byte, as `Region.locate` reads it, and its segment. */
  readonly position: bigint;
  readonly segment: bigint;
  /** Bytes left in the segment. */
  length: bigint;
  /** Bytes of the element. */
  sgeLength: bigint;
}

export function describeSge(sge: Sge): SgeAnswer {
  return {
    mr: sge.region.id,
    at: sge.region.locate(sge.position),
    length: Number(sge.length),
    sge_length: Number(sge.sgeLength),
    m: Number(sge.segment / 256n),
    n: Number(sge.segment % 256n),
  };
}

/** Whether the region was mapped or unmapped since the element was accepted. */
export function isStale(sge: Sge): boolean {
  return sge.mapping !== sge.region.mapping;
}
