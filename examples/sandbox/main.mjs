#!/usr/bin/env node
// Plugins in worker threads that see only the windows they were given; those that overreach are refused, explained and cut off.
//
//     node examples/sandbox/main.mjs
//
// Exit status: 0 if each plugin ended as it must, and no byte was changed that its plugin could not change, else 1.
import { runPlugin } from './sandbox.mjs';

const WINDOW = 64;
const TEXT = 'what the plugin gets to read'.padEnd(WINDOW);
const NOTHING = '\0'.repeat(WINDOW);
const LONG_MS = 60_000;

/**
 * What each plugin must come to.
 *
 * @typedef {object} Expected
 * @property {string} name
 * @property {number} limitMs how long it may take
 * @property {string} end
 * @property {string} [reason] for which it is cut off
 * @property {string} [output] what it must have written; undefined: whatever it liked
 */

/** @type {Expected[]} */
const plugins = [
  { name: 'upper', limitMs: LONG_MS, end: 'finished', output: TEXT.toUpperCase() },
  { name: 'greedy', limitMs: LONG_MS, end: 'cut off', reason: 'OutOfBounds', output: NOTHING },
  { name: 'vandal', limitMs: LONG_MS, end: 'cut off', reason: 'AccessDenied', output: NOTHING },
  { name: 'spy', limitMs: LONG_MS, end: 'cut off', reason: 'OutOfBounds' },
  { name: 'loop', limitMs: 500, end: 'cut off', reason: 'Time' },
];

// One block of memory for all: the inputs and outputs of the plugins side by side, so that each has others' bytes next to its own.
const memory = new SharedArrayBuffer(2 * plugins.length * WINDOW);
const windowAt = (/** @type {number} */ index) => Buffer.from(memory, index * WINDOW, WINDOW);
for (const i of plugins.keys()) windowAt(2 * i).write(TEXT);

const outcomes = await Promise.all(
  plugins.map(({ name, limitMs }, i) => {
    const windows = { input: windowAt(2 * i), output: windowAt(2 * i + 1) };
    return runPlugin(new URL(`plugin-${name}.mjs`, import.meta.url), windows, limitMs);
  }),
);

/** @type {string[]} */
const wrong = [];
for (const [i, outcome] of outcomes.entries()) {
  const { name, end, reason, output } = /** @type {Expected} */ (plugins[i]);
  const because = (/** @type {string | undefined} */ why) => (why === undefined ? '' : `: ${why}`);
  console.log(`${name.padEnd(7)} ${outcome.end}${because(outcome.reason)}`);
  if (outcome.text !== undefined) console.log(`        ${outcome.text}`);
  if (outcome.end !== end || outcome.reason !== reason)
    wrong.push(`${name} was not ${end}${because(reason)}`);
  if (outcome.isOver === false) wrong.push(`${name} went on writing after it was cut off`);
  if (windowAt(2 * i).toString() !== TEXT) wrong.push(`the input of ${name} was changed`);
  if (output !== undefined && windowAt(2 * i + 1).toString() !== output)
    wrong.push(`the output of ${name} is wrong`);
}
for (const text of wrong) console.error(`sandbox: ${text}`);
if (wrong.length > 0) process.exitCode = 1;
else console.log('Each plugin ended as it must, and changed nothing but its own output.');
