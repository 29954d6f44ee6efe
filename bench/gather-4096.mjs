// And elements of a page, where the copy is most of it?
import { gathering } from './harness/gathering.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'gather-4096',
  title: 'Check and gather 4 KiB elements, batches of 256, random over 1,024 regions',
  unit: 'ns/element',
  prepare: () =>
    gathering('gather-4096', { bytes: 4096, batches: 8, regionBytes: 8192, reach: 1, loop: false }),
};
