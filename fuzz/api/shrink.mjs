// Reduces a failing program to few calls. Each call has its own random numbers, so leaving out a call hardly affects the others.

/**
 * Returns a subset of the calls that still fails.
 *
 * @param {number[]} indices indexes of the calls of a failing program
 * @param {(indices: number[]) => Promise<boolean>} fails whether a program of these calls fails
 * @param {number} until time at which to stop, in ms since the epoch
 * @returns {Promise<number[]>}
 */
export async function shrink(indices, fails, until) {
  let kept = indices;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
    for (let at = kept.length - size; at > -size; at -= size) {
      if (Date.now() > until) return kept;
      const fewer = [
        ...kept.slice(0, Math.max(0, at)),
        ...kept.slice(Math.max(0, at) + size + Math.min(0, at)),
      ];
      if (fewer.length > 0 && fewer.length < kept.length && (await fails(fewer))) kept = fewer;
    }
  }
  return kept;
}
