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

/** The equally sized pieces of a region's memory; positions have the meaning that `locate` defines. */
export interface Segments {
  readonly count: bigint;
  start(index: bigint): bigint;
}

/** Every page that a user buffer touches. Position 0 is the first byte of the buffer, wherever that byte lies in its page. */
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

/**
 * The fields of a region (docs/semantics.md section 4). One class serves all four kinds, which differ in how the fields get their
 * values.
 */
export class Region {
  /** 0 until the key table assigns a key; a DMA region keeps 0. */
  key = 0;
  slot: number | undefined = undefined;
  valid = true;
  base = 0n;
  iova = 0n;
  length = 0n;
  offset = 0n;
  segmentSize = PAGE;
  segments: Segments = new PageList([]);
  /** The number of segments of an alloc_mr region, or of pages of an FMR. */
  capacity = 0;
  visibleAddress = 0n;
  visibleLength = 0n;
  /** Counts maps and unmaps, so that an SGE can tell whether its mapping is still current. */
  mapping = 0;
  /** The number of SGEs that hold the region. */
  held = 0;
  /**
   * Whether the region was released while SGEs held it: it has left the key table, or is no longer the published DMA region
   * (docs/semantics.md section 3).
   */
  halfDead = false;

  constructor(
    readonly id: string,
    readonly kind: RegionKind,
    readonly pd: ProtectionDomain,
    public access: number,
    /** References of the live region itself, without those of SGEs: 3 for the published DMA region, else 2. */
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
  /** The value of `region.mapping` when the element was accepted. */
  readonly mapping: number;
  /** The requested address, in the address space of the check. */
  readonly address: bigint;
  /** Whether `lkey_ok` created the SGE; only such an SGE may be a `last`. */
  readonly local: boolean;
  /** The position of the first byte, as `Region.locate` interprets it, and its segment. */
  readonly position: bigint;
  readonly segment: bigint;
  /** The number of bytes left in the segment. */
  length: bigint;
  /** The number of bytes of the element. */
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

/** Returns whether the region was mapped or unmapped after the element was accepted. */
export function isStale(sge: Sge): boolean {
  return sge.mapping !== sge.region.mapping;
}
