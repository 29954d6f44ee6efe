import { pageDown, pageUp, PAGE } from '../numbers';
import { type KeyHolder, KeyTable } from '../table';
import type { State, WindowsAnswer } from './operations';

/** Bits of the access rights. */
export const LOCAL_WRITE = 1;
export const REMOTE_WRITE = 2;
export const REMOTE_READ = 4;
export const REMOTE_ATOMIC = 8;
export const MW_BIND = 16;
export const REMOTE = REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC;
export const NEED_LOCAL_WRITE = REMOTE_WRITE | REMOTE_ATOMIC;

/** The domains of a program. The last one is closed before the program starts. */
export const DOMAINS = 3;
export const CLOSED_DOMAIN = DOMAINS - 1;

export class QueuePair {
  alive = true;

  constructor(
    readonly id: number,
    readonly pd: number,
  ) {}
}

export class Region implements KeyHolder {
  readonly holds = 'region';
  key = 0;
  slot: number | undefined = undefined;
  start = 0n;
  iova = 0n;
  length = 0;
  valid = true;
  halfDead = false;
  alive = true;
  held = 0;
  readonly windows = new Set<Window>();

  constructor(
    readonly id: number,
    readonly kind: 'user' | 'mem_reg',
    public pd: number,
    public access: number,
  ) {}

  /** Returns whether the byte at an offset lies in a page of the region's memory; an offset may be the length. */
  hasPageAt(offset: bigint): boolean {
    const end = pageUp(this.start + BigInt(this.length));
    return this.length > 0 && pageDown(this.start + offset) + PAGE <= end;
  }
}

/** What a window is bound to. A new object for each binding, so that an element knows the one that it was accepted through. */
export interface Binding {
  readonly region: Region;
  readonly addr: bigint;
  readonly length: number;
  readonly access: number;
  /** The only queue pair whose peer may pass; undefined: all of the domain. */
  readonly qp: QueuePair | undefined;
}

/** A window of type 2B, or a lease. */
export class Window implements KeyHolder {
  readonly holds = 'window';
  key = 0;
  slot: number | undefined = undefined;
  alive = true;
  binding: Binding | undefined = undefined;
  /** What a lease was made with, which it tells also after its end. */
  readonly terms: (Binding & { readonly expired: boolean }) | undefined;

  constructor(
    readonly id: number,
    readonly pd: number,
    terms?: Binding & { readonly expired: boolean },
  ) {
    this.terms = terms;
  }
}

/** An accepted element. */
export interface Element {
  readonly region: Region;
  readonly length: number;
  /** Whether its bytes may be copied out: only a remote access that was not granted a read may not. */
  readonly readable: boolean;
  /** The window that it was accepted through, and its binding at that time. */
  readonly through: { readonly window: Window; readonly binding: Binding } | undefined;
}

/** Everything that a program has made. */
export class WindowsSession {
  readonly table: KeyTable<Region | Window>;
  /** The last key of each slot that is free now. */
  readonly lastKeys = new Map<number, number>();
  readonly regions = new Map<number, Region>();
  readonly windows = new Map<number, Window>();
  readonly qps = new Map<number, QueuePair>();
  readonly elements = new Map<number, Element>();
  readonly checks: State['checks'] = { accepted: 0, refused: 0, reasons: {} };

  constructor(bits: number) {
    this.table = new KeyTable(bits);
  }

  /** Gives a holder its key. Returns false if the table is full, also after the leases that have expired are gone. */
  enter(holder: Region | Window): boolean {
    if (this.table.full) {
      for (const window of this.windows.values()) if (window.alive && window.terms?.expired) this.end(window);
    }
    if (this.table.full) return false;
    this.table.enter(holder);
    return true;
  }

  leave(holder: Region | Window): void {
    if (holder.slot === undefined) return;
    this.lastKeys.set(holder.slot, holder.key);
    this.table.leave(holder);
  }

  unbind(window: Window): void {
    window.binding?.region.windows.delete(window);
    window.binding = undefined;
  }

  /** Ends a window or a lease. */
  end(window: Window): void {
    this.leave(window);
    this.unbind(window);
    window.alive = false;
  }

  /** Returns how many windows and live leases a region has. Those that have expired end. */
  countWindows(region: Region): number {
    for (const window of region.windows) if (window.terms?.expired) this.end(window);
    return region.windows.size;
  }

  countRefusal(reason: string): void {
    this.checks.refused += 1;
    this.checks.reasons[reason] = (this.checks.reasons[reason] ?? 0) + 1;
  }

  describe(): State {
    const state: State = {
      regions: {},
      windows: {},
      counts: { regions: 0, windows: 0, leases: 0 },
      checks: { ...this.checks, reasons: { ...this.checks.reasons } },
    };
    for (const region of this.regions.values()) {
      if (!region.alive) {
        state.regions[region.id] = { state: 'Closed' };
        continue;
      }
      state.counts.regions += 1;
      const { key, access, start, iova, length, held, halfDead, valid } = region;
      state.regions[region.id] = {
        state: halfDead ? 'HalfDead' : valid ? 'Valid' : 'Invalid',
        key,
        access,
        start,
        iova,
        length,
        refs: held + (halfDead ? 1 : 2),
      };
    }
    for (const window of this.windows.values()) {
      const { id, key: rkey, binding, terms, alive } = window;
      if (alive) state.counts[terms ? 'leases' : 'windows'] += 1;
      if (terms) {
        const { addr: vaddr, length, access, expired } = terms;
        state.windows[id] = {
          state: expired ? 'Expired' : alive ? 'Live' : 'Revoked',
          rkey,
          vaddr,
          length,
          access,
        };
      } else if (alive) {
        state.windows[id] = {
          state: binding ? 'Bound' : 'Unbound',
          rkey,
          region: binding?.region.id,
          qp: binding?.qp?.id,
          vaddr: binding?.addr ?? 0n,
          length: binding?.length ?? 0,
          access: binding?.access ?? 0,
        };
      } else {
        state.windows[id] = { state: 'Closed' };
      }
    }
    return state;
  }
}

export const done: WindowsAnswer = { done: true };
export const skipped: WindowsAnswer = { skipped: true };

/** The error of operations that a half-dead region refuses. It tells how many elements the region still has, if any. */
export function halfDead({ held }: Region): WindowsAnswer {
  return fail('EINVAL', 'HalfDead', held > 0 ? { elements: held } : {});
}

export function fail(code: string, cause: string, counts?: Record<string, number>): WindowsAnswer {
  return counts ? { code, cause, counts } : { code, cause };
}
