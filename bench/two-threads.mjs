// What does a check cost while another thread checks on the same device? Nothing of a check is written but each thread's own, so
// the answer should be: the same.
import { Access } from 'rdmavt';

import { SecondThread } from './harness/second-thread.mjs';
import { viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'two-threads',
  title: 'Batches of 256 packed SGEs over 1,024 regions, while another thread does the same',
  unit: 'ns/element',
  prepare() {
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    const views = viewsOf(work, BATCH);
    const batch = world.pd.lkeyBatch(1);
    const other = new SecondThread(world.device, world.pd, world.work(ELEMENTS, { seed: 2 }).packed, BATCH);

    /** @param {number} passes */
    const sweep = (passes) => {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (const sges of views) passed += batch.checkPacked(sges, Access.LocalWrite);
      }
      return passed;
    };
    return {
      contenders: {
        together: {
          label: 'checkPacked(sges), another thread checking',
          elements: ELEMENTS,
          run(passes) {
            other.start();
            const passed = sweep(passes);
            other.stop();
            return passed;
          },
        },
        alone: { label: 'checkPacked(sges), alone', elements: ELEMENTS, run: sweep },
      },
      lines: [
        { name: 'two-threads', of: 'together', peer: 'alone' },
        { name: 'two-threads/peer-alone', of: 'alone' },
      ],
      close() {
        if (!other.done) throw new Error('the second thread did nothing');
        other.end();
        world.close();
      },
    };
  },
};
