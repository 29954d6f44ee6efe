// Measures checks while another thread checks on the same device. A check writes only data of its own thread, so the cost should
// be the same as without the other thread.
import { SecondThread } from './harness/second-thread.mjs';
import { checkViews } from './harness/sweeps.mjs';
import { viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'two-threads',
  title: 'Batches of 256 packed SGEs over 1,024 regions while another thread does the same',
  unit: 'ns/element',
  prepare() {
    const world = new World(1024);
    const run = checkViews(world.pd.lkeyBatch(1), viewsOf(world.work(ELEMENTS), BATCH));
    const other = new SecondThread(world.device, world.pd, world.work(ELEMENTS, { seed: 2 }).packed, BATCH);
    return {
      contenders: {
        together: {
          label: 'checkPacked(sges), another thread checking',
          elements: ELEMENTS,
          run: other.during(run),
        },
        alone: { label: 'checkPacked(sges), alone', elements: ELEMENTS, run },
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
