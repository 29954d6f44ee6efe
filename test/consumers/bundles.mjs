// What the tests of bundlers share: a program to bundle, and the folder of a bundle that is complete where nothing is installed.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { installedConsumer } from './support.mjs';

/** @typedef {import('./support.mjs').Consumer} Consumer */

/**
 * Has app.mjs and stacks.mjs to bundle.
 * @param {import('node:test').TestContext} t
 */
export function bundlingConsumer(t) {
  const consumer = installedConsumer(t);
  consumer.copyProgram('smoke.mjs', 'app.mjs');
  consumer.copyProgram('stacks.mjs');
  return consumer;
}

/**
 * Leaves nothing but the bundle, with the binaries beside it.
 * @param {Consumer} consumer
 * @param {string} [folder] of the bundle
 */
export function withoutPackage(consumer, folder = 'out') {
  cpSync(join(consumer.installed, 'prebuilds'), consumer.path(folder, 'prebuilds'), { recursive: true });
  rmSync(consumer.path('node_modules'), { recursive: true });
  // Of somebody else, and in the folder above the bundle: not to be taken for ours.
  consumer.write('build/Release/other.node', 'not an add-on');
}
