// Measures checking and copying 4 KiB elements in one call. The copy takes most of the time.
import { gathering } from './harness/gathering.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'gather-4096',
  title: 'Check and gather 4 KiB elements, batches of 256, random over 1,024 regions',
  unit: 'ns/element',
  prepare: () =>
    gathering('gather-4096', { bytes: 4096, batches: 8, regionBytes: 8192, reach: 1, loop: false }),
};
