// Shared code of the gather benchmarks: several ways gather the same elements. Before the measurement, their bytes are compared.
import { deepStrictEqual, ok } from 'node:assert/strict';

import { FlatTable } from './peers.mjs';
import { batchesOf, BITS, PD, World } from './world.mjs';

const BATCH = 256;

/** Access rights of a local read, which is always permitted. */
const READ = 0;

/** @typedef {import('./question.mjs').Contender} Contender */
/** @typedef {import('./question.mjs').Prepared} Prepared */

/**
 * Prepares a gather benchmark.
 *
 * @param {string} name of the benchmark
 * @param {object} options
 * @param {number} options.bytes size of an element
 * @param {number} options.batches
 * @param {number} options.regionBytes
 * @param {number} options.reach the target for the ratio
 * @param {boolean} options.loop whether to also measure a loop over the bytes
 * @returns {Prepared}
 */
export function gathering(name, { bytes, batches, regionBytes, reach, loop }) {
  const together = new World(1024, { regionBytes });
  const separate = new World(1024, { regionBytes, separate: true });
  together.fill();
  separate.fill();
  const subject = gathered(together, 'check and gather()', bytes, batches);
  const copy = copied(together, 'JavaScript, flat table, Buffer.copy', bytes, batches, 'copy');
  const byLoop = copied(together, 'JavaScript, flat table, loop over bytes', bytes, batches, 'loop');
  const subjectSeparate = gathered(separate, 'check and gather(), one buffer per region', bytes, batches);
  const copySeparate = copied(
    separate,
    'JavaScript, Buffer.copy, one buffer per region',
    bytes,
    batches,
    'separate',
  );
  agree(subject, copy, batches);
  agree(byLoop, copy, batches);
  agree(subjectSeparate, copySeparate, batches);
  /** @type {Prepared} */
  const prepared = {
    contenders: {
      gather: contender(subject, batches, bytes, 'together'),
      copy: contender(copy, batches, bytes, 'together'),
      gatherSeparate: contender(subjectSeparate, batches, bytes, 'separate'),
      copySeparate: contender(copySeparate, batches, bytes, 'separate'),
    },
    lines: [
      { name, of: 'gather', peer: 'copy', reach },
      { name: `${name}/buffer-each`, of: 'gatherSeparate', peer: 'copySeparate' },
      { name: `${name}/peer-copy`, of: 'copy' },
      { name: `${name}/peer-copy-buffer-each`, of: 'copySeparate' },
    ],
    close() {
      together.close();
      separate.close();
    },
  };
  if (loop) {
    prepared.contenders['loop'] = contender(byLoop, batches, bytes, 'together');
    prepared.lines.push({ name: `${name}/loop`, of: 'gather', peer: 'loop' });
    prepared.lines.push({ name: `${name}/peer-loop`, of: 'loop' });
  }
  return prepared;
}

/**
 * One way to gather the elements of a batch, given by its index, into a target.
 *
 * @typedef {object} Gatherer
 * @property {string} label
 * @property {Buffer} target
 * @property {(batch: number) => number} gather
 */

/**
 * Gathers with native batches.
 *
 * @param {World} world
 * @param {string} label
 * @param {number} bytes
 * @param {number} count
 * @returns {Gatherer}
 */
function gathered(world, label, bytes, count) {
  const work = world.work(count * BATCH, { bytes });
  const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
  const target = Buffer.alloc(BATCH * bytes);
  return { label, target, gather: (i) => batches[i]?.gather(target, BATCH, READ) ?? 0 };
}

/**
 * Gathers in JavaScript.
 *
 * @param {World} world
 * @param {string} label
 * @param {number} bytes
 * @param {number} count
 * @param {'copy' | 'loop' | 'separate'} how
 * @returns {Gatherer}
 */
function copied(world, label, bytes, count, how) {
  const { packed } = world.work(count * BATCH, { bytes });
  const flat = new FlatTable(BITS, world.entries);
  const { memory, memories } = world;
  const target = Buffer.alloc(BATCH * bytes);
  const gather = {
    copy: (/** @type {number} */ i) => flat.gather(packed, BATCH * i, BATCH, PD, READ, memory, target),
    loop: (/** @type {number} */ i) => flat.gatherByLoop(packed, BATCH * i, BATCH, PD, READ, memory, target),
    separate: (/** @type {number} */ i) =>
      flat.gatherSeparate(packed, BATCH * i, BATCH, PD, READ, memories, target),
  }[how];
  return { label, target, gather };
}

/**
 * Verifies that both ways gather the same bytes from every batch.
 *
 * @param {Gatherer} subject
 * @param {Gatherer} peer
 * @param {number} batches
 */
function agree(subject, peer, batches) {
  for (let i = 0; i < batches; i++) {
    subject.target.fill(0);
    peer.target.fill(0);
    deepStrictEqual(subject.gather(i), peer.target.length);
    deepStrictEqual(peer.gather(i), peer.target.length);
    ok(subject.target.equals(peer.target), `${subject.label} gathered other bytes than ${peer.label}`);
  }
}

/**
 * Returns a contender that gathers every batch and reads some of the gathered bytes.
 *
 * @param {Gatherer} gatherer
 * @param {number} batches
 * @param {number} bytes
 * @param {string} task
 * @returns {Contender}
 */
function contender({ label, target, gather }, batches, bytes, task) {
  /** @type {import('./peers.mjs').Numbers} */
  const read = target;
  return {
    label,
    task,
    elements: batches * BATCH,
    run(passes) {
      let sum = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let i = 0; i < batches; i++) {
          sum += gather(i) + read[0] + read[(i * bytes) % target.length] + read[target.length - 1];
        }
      }
      return sum;
    },
  };
}
