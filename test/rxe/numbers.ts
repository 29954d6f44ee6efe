/** Numbers from 0 to 1 that are the same in each run (a linear congruential generator; its high bits). */
export function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
