// The peer of whole requests, verbs and fields: the least that a call into native code costs.
import { native } from './native.mjs';

/**
 * @param {number} elements of a pass: those of the contender that it is compared with
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
