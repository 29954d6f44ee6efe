// Helpers shared by the tests of bundlers: a program to bundle, and the folder of a complete bundle without an installed package.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { installedConsumer } from './support.mjs';

/** @typedef {import('./support.mjs').Consumer} Consumer */

/**
 * Creates a consumer that has app.mjs and stacks.mjs to bundle.
 * @param {import('node:test').TestContext} t
 */
export function bundlingConsumer(t) {
  const consumer = installedConsumer(t);
  consumer.copyProgram('smoke.mjs', 'app.mjs');
  consumer.copyProgram('stacks.mjs');
  return consumer;
}

/**
 * Removes everything except the bundle and its prebuilt binaries.
 * @param {Consumer} consumer
 * @param {string} [folder] of the bundle
 */
export function withoutPackage(consumer, folder = 'out') {
  cpSync(join(consumer.installed, 'prebuilds'), consumer.path(folder, 'prebuilds'), { recursive: true });
  rmSync(consumer.path('node_modules'), { recursive: true });
  // A foreign add-on in the folder above the bundle must not be loaded instead of ours.
  consumer.write('build/Release/other.node', 'not an add-on');
}
