// The two fuzzers of the core: one compares the memory layer with an oracle, the other one checks invariants of the verbs.
import { basename, join } from 'node:path';
import { fuzzDirectory } from './paths.mjs';
import { scenes } from './scenes.mjs';
import { fromTraces } from './traces.mjs';
import { verbScenes } from './verbs/scenes.mjs';

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} directory of its sources and its kept corpus
 * @property {number} longest length of a program in bytes; longer ones find no more and take more time
 * @property {() => Iterable<Buffer>} seeds programs that are generated each time
 */

/** @type {Target[]} */
export const targets = [
  {
    name: 'core',
    directory: fuzzDirectory,
    longest: 4096,
    *seeds() {
      yield* scenes();
      yield* fromTraces();
    },
  },
  { name: 'verbs', directory: join(fuzzDirectory, 'verbs'), longest: 2048, seeds: verbScenes },
];

/** Returns the target whose finding this file is: the name begins with that of the target. @param {string} file */
export const targetOf = (file) =>
  targets.find(({ name }) => basename(file).startsWith(`${name}-`))?.name ?? 'core';
