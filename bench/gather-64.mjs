// Measures checking and copying small elements, 256 per call.
import { gathering } from './harness/gathering.mjs';

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'gather-64',
  title: 'Check and gather 64-byte elements, batches of 256, random over 1,024 regions',
  unit: 'ns/element',
  prepare: () =>
    gathering('gather-64', { bytes: 64, batches: 64, regionBytes: 4096, reach: 0.4, loop: true }),
};
