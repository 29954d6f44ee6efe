/** Records where held elements were acquired, for devices opened with `captureStacks`. */
import { type Holder } from '../internal/element';

/** Whether any device in this thread captures stacks. A plain variable, because it is tested for each acquired element. */
export let isCapturing = false;

/** Sets {@link isCapturing} to true, permanently. */
export function startCapturing(): void {
  isCapturing = true;
}

/** Maximum number of batches whose stacks are kept; the oldest are dropped first. */
const MOST_BATCHES = 1024;

/** The recorded stacks for the elements of one device in this thread. */
export class ElementStacks {
  /**
   * Indexed by cell. Cells are reused, so the map never has more entries than the maximum number of elements held at the same
   * time.
   */
  readonly #elements = new Map<number, { generation: number; stack: string }>();
  readonly #batches = new Map<number, string>();

  /** Records the stack of an acquired element. */
  note(holder: Holder, stack: string | undefined): void {
    if (stack !== undefined) this.#elements.set(holder.cell, { generation: holder.generation, stack });
  }

  /** Records the stack of a batch's latest acquire. */
  noteBatch(batch: number, stack: string | undefined): void {
    this.#batches.delete(batch); // delete first, so that set() makes this entry the newest
    if (stack === undefined) return;
    this.#batches.set(batch, stack);
    let tooMany = this.#batches.size - MOST_BATCHES;
    if (tooMany <= 0) return;
    this.#batches.forEach((_, number) => {
      if (tooMany-- > 0) this.#batches.delete(number);
    });
  }

  of(cell: number, generation: number): string | undefined {
    const noted = this.#elements.get(cell);
    return noted?.generation === generation ? noted.stack : undefined;
  }

  ofBatch(batch: number): string | undefined {
    return this.#batches.get(batch);
  }
}
