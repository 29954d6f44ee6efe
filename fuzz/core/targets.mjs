// The fuzzers: one compares the memory layer with an oracle, one checks invariants of the verbs, one those of the wire, which
// decodes packets and capture files, and one those of endpoints.
import { basename, join } from 'node:path';
import { endpointScenes } from './endpoint/scenes.mjs';
import { fuzzDirectory } from './paths.mjs';
import { scenes } from './scenes.mjs';
import { fromTraces } from './traces.mjs';
import { verbScenes } from './verbs/scenes.mjs';
import { wireSeeds } from './wire/seeds.mjs';

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} directory of its sources and its kept corpus
 * @property {('core' | 'wire')[]} tested what it is linked with
 * @property {number} longest length of a program in bytes; longer ones find no more and take more time
 * @property {() => Iterable<Buffer>} seeds programs that are generated each time
 */

/** @type {Target[]} */
export const targets = [
  {
    name: 'core',
    directory: fuzzDirectory,
    tested: ['core'],
    longest: 4096,
    *seeds() {
      yield* scenes();
      yield* fromTraces();
    },
  },
  {
    name: 'verbs',
    directory: join(fuzzDirectory, 'verbs'),
    tested: ['core'],
    longest: 2048,
    seeds: verbScenes,
  },
  {
    name: 'wire',
    directory: join(fuzzDirectory, 'wire'),
    tested: ['core', 'wire'],
    longest: 2048,
    seeds: wireSeeds,
  },
  {
    name: 'endpoint',
    directory: join(fuzzDirectory, 'endpoint'),
    tested: ['core', 'wire'],
    longest: 2048,
    seeds: endpointScenes,
  },
];

/** Returns the target whose finding this file is: the name begins with that of the target. @param {string} file */
export const targetOf = (file) =>
  targets.find(({ name }) => basename(file).startsWith(`${name}-`))?.name ?? 'core';
