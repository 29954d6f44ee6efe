/** Where held elements were acquired, for those who asked (`captureStacks`). */
import { type Holder } from '../internal/element';

/** Whether anybody in this thread captures stacks: tested for each element, so it is a plain variable. */
export let isCapturing = false;

/** From now on {@link isCapturing}. */
export function startCapturing(): void {
  isCapturing = true;
}

/** Stacks of more batches than this are not kept; the oldest go. */
const MOST_BATCHES = 1024;

/** For the elements of one device in this thread. */
export class ElementStacks {
  /** By cell: there are not more of them than there were elements held at a time. */
  readonly #elements = new Map<number, { generation: number; stack: string }>();
  readonly #batches = new Map<number, string>();

  /** An element was acquired. */
  note(holder: Holder, stack: string | undefined): void {
    if (stack !== undefined) this.#elements.set(holder.cell, { generation: holder.generation, stack });
  }

  /** A batch has acquired elements. */
  noteBatch(batch: number, stack: string | undefined): void {
    this.#batches.delete(batch); // so that it is the youngest again
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
