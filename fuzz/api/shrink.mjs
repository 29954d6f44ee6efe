// Finds few calls that still fail. Each call has random numbers of its own, so leaving out one changes the others little.

/**
 * @param {number[]} indices of the calls of a program that fails
 * @param {(indices: number[]) => Promise<boolean>} fails
 * @param {number} until when to be content, in milliseconds
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
