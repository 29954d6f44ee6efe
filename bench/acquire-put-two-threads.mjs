// Measures the cost of references while another thread takes references on the same regions. Each thread has its own reference
// counts, so the cost should be the same as without the other thread.
import { SecondThread } from './harness/second-thread.mjs';
import { holdBatches } from './harness/sweeps.mjs';
import { batchesOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 16_384;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'acquire-put-two-threads',
  title: 'Batches of 256 packed SGEs acquired and put over 1,024 regions while another thread does the same',
  unit: 'ns/element',
  prepare() {
    const world = new World(1024);
    const run = holdBatches(
      batchesOf(world.work(ELEMENTS), BATCH, (capacity) => world.pd.lkeyBatch(capacity)),
    );
    const { packed } = world.work(ELEMENTS, { seed: 2 });
    const other = new SecondThread(world.device, world.pd, packed, BATCH, { hold: true });
    return {
      contenders: {
        together: {
          label: 'acquire(count), put(count), another thread acquiring',
          elements: ELEMENTS,
          run: other.during(run),
        },
        alone: { label: 'acquire(count), put(count), alone', elements: ELEMENTS, run },
      },
      lines: [
        { name: 'acquire-put-two-threads', of: 'together', peer: 'alone', reach: 1.3 },
        { name: 'acquire-put-two-threads/peer-alone', of: 'alone' },
      ],
      close() {
        if (!other.done) throw new Error('the second thread did nothing');
        other.end();
        world.close();
      },
    };
  },
};
