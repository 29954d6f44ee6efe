// An empty native call, the minimum cost of calling into native code. The peer of requests, single checks and field reads.
import { native } from './native.mjs';

/**
 * @param {number} elements calls per pass: the number of elements of the contender compared with it
 * @returns {import('./rounds.mjs').Work}
 */
export function emptyCall(elements) {
  return {
    label: 'empty Node-API call',
    task: 'empty',
    elements,
    run(passes) {
      for (let i = passes * elements; i > 0; i--) native.empty();
      return 0;
    },
  };
}
