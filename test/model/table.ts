import type { Region } from './region';

/** What a slot of the key table holds: a region, or (windows/) a memory window. */
export interface KeyHolder {
  key: number;
  slot: number | undefined;
}

/** Models the key table (docs/semantics.md sections 1 and 2). */
export class KeyTable<Holder extends KeyHolder = Region> {
  readonly bits: number;
  readonly max: number;
  next = 0;
  gen = 0;
  readonly slots = new Map<number, Holder>();

  constructor(requestedBits: number) {
    this.bits = Math.min(requestedBits, 23);
    this.max = 2 ** this.bits;
  }

  get full(): boolean {
    return this.slots.size === this.max;
  }

  /** Assigns a slot and a key to the region. The caller must have checked that the table is not full. */
  enter(region: Holder): void {
    let index = this.next;
    while (this.slots.has(index)) index = (index + 1) % this.max;
    this.next = (index + 1) % this.max;
    this.slots.set(index, region);
    region.slot = index;

    this.#advance();
    const generation = this.gen % 2 ** (24 - this.bits);
    region.key = index * 2 ** (32 - this.bits) + generation * 2 ** 8;
    if (region.key === 0) {
      region.key = 0x100;
      this.#advance();
    }
  }

  /** Frees the slot of the region; `next` does not change. */
  leave(region: Holder): void {
    if (region.slot === undefined) return;
    this.slots.delete(region.slot);
    region.slot = undefined;
  }

  /** Returns the region in the slot that the key names, if the region has exactly this key. */
  find(key: number): Holder | undefined {
    const region = this.slots.get(Math.floor(key / 2 ** (32 - this.bits)));
    return region?.key === key ? region : undefined;
  }

  #advance(): void {
    this.gen = (this.gen + 1) % 2 ** 32;
  }
}
