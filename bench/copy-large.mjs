// Measures long copies through an SGE, compared with the same copies through existing typed arrays.
import { copying } from './harness/copying.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'copy-large',
  title: 'Copying through an accepted SGE',
  unit: 'ns/copy',
  prepare: () =>
    copying('copy-large', [
      { bytes: 2 ** 16, name: '64k', label: '64 KiB', reach: 1.08 },
      { bytes: 2 ** 18, name: '256k', label: '256 KiB', reach: 1.1 },
      { bytes: 2 ** 20, name: '1m', label: '1 MiB', reach: 1.1 },
    ]),
};
