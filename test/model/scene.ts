import type { Dice } from './dice';
import { ADDRESS_END, MAX_U32, PAGE } from './numbers';
import type { ProtectionDomain, Region, RegionKind, Sge } from './region';
import type { Session } from './session';

/** Everything that the operations so far have named, whether it still exists or not. */
export class History {
  ids: string[] = [];
  keys: number[] = [];
  #count = 0;

  /**
   * Starts a new session. Earlier IDs stay known, and the numbering restarts, so the new session reuses the IDs of the previous
   * one.
   */
  restart(): void {
    this.#count = 0;
  }

  fresh(prefix: string): string {
    const id = `${prefix}${this.#count++}`;
    this.ids.push(id);
    return id;
  }

  sawKey(key: number): void {
    if (this.keys.at(-1) !== key) this.keys.push(key);
  }
}

export interface Span {
  address: bigint;
  length: number;
}

/** A point in a program, and the choices that can be made there. */
export class Scene {
  constructor(
    readonly session: Session,
    readonly history: History,
    readonly dice: Dice,
  ) {}

  regions(...kinds: RegionKind[]): Region[] {
    return [...this.session.regions.values()].filter(({ kind }) => kinds.includes(kind));
  }

  /** Returns a region, usually one that an access can reach, if there is any. */
  mapped(regions: readonly Region[]): Region | undefined {
    const mapped = regions.filter(reachable);
    return this.dice.recent(mapped.length > 0 && !this.dice.rarely(8) ? mapped : regions);
  }

  sges(): Sge[] {
    return [...this.session.sges.values()];
  }

  /** Returns the intended ID or, rarely, any earlier ID: of a closed object, never bound, or of another kind. */
  name(meant: string): string {
    if (!this.dice.rarely(36)) return meant;
    return this.dice.recent(this.history.ids) ?? meant;
  }

  pdId(meant?: ProtectionDomain): string {
    const any = this.dice.recent([...this.session.pds.keys()]) ?? 'none';
    return this.name(meant === undefined || this.dice.rarely(14) ? any : meant.id);
  }

  qpId(pd?: ProtectionDomain): string {
    const all = [...this.session.qps.values()];
    const own = all.filter((qp) => qp.pd === pd);
    const qp = this.dice.recent(own.length === 0 || this.dice.rarely(14) ? all : own);
    return this.name(qp?.id ?? 'none');
  }

  /** Returns the key of the region, or a stale, nearly correct or invented one. */
  key(region: Region | undefined): number {
    const own = region?.key ?? 0;
    return this.dice.choose(
      [40, () => own],
      [2, () => this.dice.recent(this.history.keys) ?? own],
      [1, () => (own ^ (1 << this.dice.below(32))) >>> 0],
      [1, () => 0],
    );
  }

  access(): number {
    return this.dice.pick(7, 15, 31, 0, 1, 2, 4, 8, 5, 3, 16, 0xffffffff, 0x80000001);
  }

  /** Returns an address in DMA memory, which may be unaligned. */
  dmaAddress(): bigint {
    const { dmaStart, dmaEnd } = this.session;
    const size = dmaEnd - dmaStart;
    if (size === 0n) return dmaStart;
    const into = this.dice.belowBig(size);
    return dmaStart + this.dice.choose([3, () => into - (into % PAGE)], [2, () => into]);
  }

  /** Returns a 64-bit address at which a range of `length` bytes is likely to cause trouble. */
  hostileAddress(length: bigint): bigint {
    return modulo(
      this.dice.pick(
        0n,
        ADDRESS_END - length, // The highest allowed address.
        ADDRESS_END - length + 1n,
        ADDRESS_END - 1n,
        ADDRESS_END - PAGE,
        ADDRESS_END - PAGE - length,
        1n << 63n,
        (1n << 32n) - length,
      ),
    );
  }

  /** Returns a range that an access to the region might request, with addresses relative to `base`. */
  spanOf(region: Region, base: bigint): Span {
    return this.#span(base, region.length, region.segmentSize, region.offset);
  }

  spanOfDma(): Span {
    const { dmaStart, dmaEnd } = this.session;
    return this.#span(dmaStart, dmaEnd - dmaStart, PAGE, 0n);
  }

  /** Returns a length for a request that starts `off` bytes into a region. */
  lengthFrom(off: bigint, length: bigint, segmentSize: bigint, phase: bigint): number {
    const { dice } = this;
    const rest = length > off ? length - off : 0n;
    const toEdge = segmentSize - (modulo(off + phase) % segmentSize);
    return clamp(
      dice.choose(
        [8, () => (rest === 0n ? toEdge : least(toEdge, rest))],
        [4, () => least(rest, 1n + dice.bytes(64))],
        [2, () => toEdge + segmentSize * dice.bytes(3) + dice.pick(1n, -1n)],
        [3, () => rest],
        [3, () => least(rest, toEdge + segmentSize * dice.bytes(4))],
        [3, () => dice.belowBig(rest + 1n)],
        [2, () => 0n],
        [1, () => rest + 1n],
        [1, () => dice.pick(MAX_U32, MAX_U32 - off, ADDRESS_END - off + dice.bytes(4), 4098n, 1n << 31n)],
      ),
    );
  }

  #span(base: bigint, length: bigint, segmentSize: bigint, phase: bigint): Span {
    const { dice } = this;
    const segments = (length + phase) / segmentSize + 1n;
    const edge = () => dice.belowBig(segments) * segmentSize - phase;
    const off = dice.choose(
      [6, () => 0n],
      [4, () => dice.belowBig(length + 1n)],
      [4, () => least(length, edge())],
      [3, () => edge() + dice.pick(-1n, 1n)],
      [2, () => edge() - 1n - dice.bytes(64)],
      [3, () => length - dice.bytes(64)],
      [2, () => length],
      [1, () => length + dice.bytes(64)],
      [1, () => -1n - dice.bytes(5000)],
      [1, () => this.hostileAddress(1n + dice.bytes(64)) - base],
    );
    return { address: modulo(base + off), length: this.lengthFrom(off, length, segmentSize, phase) };
  }
}

/** Returns whether any access with the region's key can succeed. */
export function reachable({ length, halfDead, valid }: Region): boolean {
  return length > 0n && !halfDead && valid;
}

export function modulo(address: bigint): bigint {
  return BigInt.asUintN(64, address);
}

export function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Limits a length to 32 bits. */
export function clamp(length: bigint): number {
  return Number(length < 0n ? 0n : least(length, MAX_U32));
}
