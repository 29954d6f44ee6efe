// Loops over batches of local elements that several benchmarks share. Each loop returns how many elements passed.
import { Access } from 'rdmavt';

/** @typedef {import('rdmavt').CheckBatch} CheckBatch */

/**
 * Checks elements that lie packed in the caller's buffers.
 *
 * @param {CheckBatch} batch
 * @param {readonly Uint8Array[]} views one view per batch
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
 * Checks the elements of batches.
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
 * Acquires and puts the elements of batches.
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
