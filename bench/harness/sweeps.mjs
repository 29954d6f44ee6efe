// Loops over batches of local elements that several questions ask about. Each returns how many elements passed.
import { Access } from 'rdmavt';

/** @typedef {import('rdmavt').CheckBatch} CheckBatch */

/**
 * Checks elements that lie packed in the caller's buffer.
 *
 * @param {CheckBatch} batch
 * @param {readonly Uint8Array[]} views a batch each
 * @returns {(passes: number) => number}
 */
export function checkViews(batch, views) {
  return (passes) => {
    let passed = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (const sges of views) passed += batch.checkPacked(sges, Access.LocalWrite);
    }
    return passed;
  };
}

/**
 * Checks the elements that batches hold.
 *
 * @param {readonly CheckBatch[]} batches
 * @returns {(passes: number) => number}
 */
export function checkBatches(batches) {
  return (passes) => {
    let passed = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (const batch of batches) passed += batch.check(batch.capacity, Access.LocalWrite);
    }
    return passed;
  };
}

/**
 * Acquires the elements that batches hold, and puts them.
 *
 * @param {readonly CheckBatch[]} batches
 * @returns {(passes: number) => number}
 */
export function holdBatches(batches) {
  return (passes) => {
    let passed = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (const batch of batches) {
        passed += batch.acquire(batch.capacity, Access.LocalWrite);
        batch.put(batch.capacity);
      }
    }
    return passed;
  };
}
