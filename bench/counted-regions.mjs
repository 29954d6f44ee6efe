// What does counting the accesses of regions cost, where somebody has asked for it? (What is counted for each thread is in all the
// other questions.)
import { checkViews } from './harness/sweeps.mjs';
import { viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'counted-regions',
  title: 'Batches of 256 packed SGEs over 1,024 regions that are counted',
  unit: 'ns/element',
  prepare() {
    /** @param {string} label @param {boolean} counted */
    const contender = (label, counted) => {
      const world = new World(1024);
      const views = viewsOf(world.work(ELEMENTS), BATCH);
      const batch = world.pd.lkeyBatch(1);
      if (counted) {
        for (const region of world.regions) region.countAccesses();
      }
      return {
        label,
        elements: ELEMENTS,
        run: checkViews(batch, views),
        world,
      };
    };
    const counted = contender('checkPacked(sges), every region counted', true);
    const plain = contender('checkPacked(sges), no region counted', false);
    return {
      contenders: { counted, plain },
      lines: [
        { name: 'counted-regions', of: 'counted', peer: 'plain' },
        { name: 'counted-regions/peer-plain', of: 'plain' },
      ],
      close() {
        const { accepted } = counted.world.device.counters();
        let sum = 0;
        for (const region of counted.world.regions) sum += region.counters?.accepted ?? 0;
        if (sum !== accepted)
          throw new Error(`${sum} accesses counted by the regions, ${accepted} by the thread`);
        counted.world.close();
        plain.world.close();
      },
    };
  },
};
