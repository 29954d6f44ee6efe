import type { Dice } from '../dice';
import { hex } from '../numbers';
import type { ProtectionDomain, Region } from '../region';
import type { Id, QpType, SgeInput } from './operations';
import type { QueuePair } from './queue-pair';
import type { VerbsSession } from './session';

/**
 * Sends read from, and reads and atomics return to, memory of the role 'source'. Receives and remote addresses use memory of the
 * role 'target'. So no request reads and writes the same bytes, which the trace format does not define.
 */
export type Role = 'source' | 'target';

/** A key that no region ever gets: its slot is 0 and its generation is 0. */
export const NO_KEY = 0xff;

/** Everything that the operations so far have named, whether it still exists or not. */
export class VerbsHistory {
  ids: Id[] = [];
  keys: number[] = [];
  readonly roles = new Map<string, Role>();
  #count = 0;
  #wrCount = 0;

  /** Starts a new session, which reuses the ids of the previous one. */
  restart(): void {
    this.#count = 0;
    this.roles.clear();
  }

  fresh(): Id {
    const id = ++this.#count;
    this.ids.push(id);
    return id;
  }

  freshWrId(): number {
    return ++this.#wrCount;
  }

  sawKey(key: number): void {
    this.keys.push(key);
  }
}

/** A point in a verbs program, and the choices that can be made there. */
export class VerbsScene {
  constructor(
    readonly session: VerbsSession,
    readonly history: VerbsHistory,
    readonly dice: Dice,
  ) {}

  /** Returns the intended id or, rarely, an earlier id that names no live object of the kind. */
  name(meant: Id, isAlive: (id: Id) => boolean): Id {
    if (!this.dice.rarely(60)) return meant;
    const other = this.dice.recent(this.history.ids);
    return other === undefined || isAlive(other) ? meant : other;
  }

  pds(): ProtectionDomain[] {
    return [...this.session.regions.pds.values()];
  }

  pdId(meant?: ProtectionDomain): Id {
    const pd = meant === undefined || this.dice.rarely(14) ? this.dice.recent(this.pds()) : meant;
    return this.name(Number(pd?.id ?? 0), (id) => this.session.regions.pds.has(String(id)));
  }

  cqId(): Id {
    return this.nameCq(this.dice.recent([...this.session.cqs.keys()]) ?? 0);
  }

  /** Returns a completion queue that still accepts completions, most of the time. */
  usableCqId(): Id {
    const usable = [...this.session.cqs.values()].filter(({ broken }) => !broken);
    const cq = this.dice.rarely(20) ? undefined : this.dice.recent(usable);
    return cq === undefined ? this.cqId() : this.nameCq(cq.id);
  }

  nameCq(meant: Id): Id {
    return this.name(meant, (id) => this.session.cqs.has(id));
  }

  nameQp(meant: Id): Id {
    return this.name(meant, (id) => this.session.qps.has(id));
  }

  nameSrq(meant: Id): Id {
    return this.name(meant, (id) => this.session.srqs.has(id));
  }

  nameRegion(meant: Region): Id {
    return this.name(Number(meant.id), (id) => this.session.regions.regions.has(String(id)));
  }

  qps(...types: QpType[]): QueuePair[] {
    const all = [...this.session.qps.values()];
    return types.length === 0 ? all : all.filter(({ type }) => types.includes(type));
  }

  /** Returns a queue pair that can send, most of the time. */
  sender(): QueuePair | undefined {
    const sending = this.qps().filter(({ state }) => state === 'RTS');
    return this.dice.recent(sending.length > 0 && !this.dice.rarely(6) ? sending : this.qps());
  }

  /** Returns the live regions of a protection domain that bytes can be moved from or to. */
  regionsFor(pd: ProtectionDomain, role: Role): Region[] {
    return this.regions().filter(
      (region) =>
        region.pd === pd &&
        region.kind !== 'dma' &&
        region.length > 0n &&
        this.history.roles.get(region.id) === role,
    );
  }

  /** Returns all live regions; a half-dead region is left out. */
  regions(): Region[] {
    return [...this.session.regions.regions.values()].filter(({ halfDead }) => !halfDead);
  }

  /** Returns the part of the DMA memory that has the role. */
  dmaSpan(role: Role): { start: bigint; length: number } {
    const { dmaStart, dmaEnd } = this.session.regions;
    const half = (dmaEnd - dmaStart) / 2n;
    return { start: role === 'source' ? dmaStart : dmaStart + half, length: Number(half) };
  }

  /** Returns an SGE for bytes of the role; undefined if the protection domain has no such bytes. */
  sge(pd: ProtectionDomain, role: Role, length: number, access: number): SgeInput | undefined {
    const { dice, session } = this;
    const keyZero = !pd.user && session.regions.published !== undefined && dice.rarely(4);
    const region = this.regionOf(pd, role, access, length);
    if (keyZero || region === undefined) {
      if (session.regions.published === undefined && !dice.rarely(10)) return undefined;
      const { start, length: size } = this.dmaSpan(role);
      return { addr: hex(start + dice.bytes(size - length + 1)), length, lkey: '0x0' };
    }
    return {
      addr: hex(region.base + this.offsetIn(region, length)),
      length,
      lkey: hex(this.keyOf(region)),
    };
  }

  /** Returns a region of the role that grants the access and holds `length` bytes, most of the time. */
  regionOf(pd: ProtectionDomain, role: Role, access: number, length: number): Region | undefined {
    const { dice } = this;
    const all = this.regionsFor(pd, role);
    const able = all.filter((region) => (region.access & access) === access && region.valid);
    const fitting = able.filter((region) => region.length >= length);
    if (fitting.length > 0 && !dice.rarely(24)) return dice.recent(fitting);
    return dice.recent(able.length > 0 && !dice.rarely(12) ? able : all);
  }

  /** Returns an offset at which `length` bytes fit into the region, or rarely do not fit. */
  offsetIn(region: Region, length: number): bigint {
    const { dice } = this;
    const rest = region.length - BigInt(length);
    const toPage = 4096n - (region.offset % 4096n);
    return dice.choose(
      [36, () => (rest > 0n ? dice.belowBig(rest + 1n) : 0n)],
      [12, () => 0n],
      [9, () => (rest > 0n ? rest : 0n)],
      [9, () => (toPage <= rest ? toPage : 0n)],
      [1, () => (rest > 0n ? rest + 1n + dice.bytes(9) : region.length)],
    );
  }

  /** Returns the key of the region, or rarely another key that never names a region of the other role. */
  keyOf(region: Region): number {
    const { dice } = this;
    return dice.choose(
      [160, () => region.key],
      [1, () => ((region.key & ~0xff) >>> 0) + dice.below(256)],
      [1, () => NO_KEY],
    );
  }

  /** Returns the queue pair that a queue pair sends to. */
  peerOf(qp: QueuePair): QueuePair | undefined {
    return this.session.destination(qp.destQpn);
  }
}
