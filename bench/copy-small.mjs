// Measures short copies through an SGE, where the call takes longer than the copy. Compared with the same copies through existing
// typed arrays.
import { copying } from './harness/copying.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'copy-small',
  title: 'Short copies through an accepted SGE',
  unit: 'ns/copy',
  prepare: () =>
    copying('copy-small', [
      { bytes: 64, name: '64', label: '64 bytes' },
      { bytes: 4096, name: '4k', label: '4 KiB' },
    ]),
};
