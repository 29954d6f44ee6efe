// A thread that writes random values into the blocks of batches at any time.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Random } from './random.mjs';

/** @type {{ seed: number, stop: Int32Array, hints: number[] }} */
const { seed, stop, hints } = workerData;
const random = new Random();
random.begin(seed);
/** @type {Uint32Array[]} */
const blocks = [];

while (!Atomics.load(stop, 0)) {
  const message = parentPort && receiveMessageOnPort(parentPort);
  if (message) blocks.push(new Uint32Array(message.message, 0, message.message.byteLength >> 2));
  for (let i = 0; i < 200 && blocks.length; i++) {
    const words = random.pick(blocks);
    // Write random or nearly valid values, often into the header of the block.
    const value = random.chance(0.7) ? random.pick(hints) : random.bits();
    words[random.dice(random.chance(0.5) ? 16 : words.length)] = value;
  }
  // Sleep for 1 ms, to leave processor time to the thread that makes the calls.
  Atomics.wait(stop, 0, 0, 1);
}
