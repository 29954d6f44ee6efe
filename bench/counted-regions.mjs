// Measures the cost of the access counters of regions, which a program can enable. (The counters per thread are always enabled,
// so all other benchmarks include their cost.)
import { checkViews } from './harness/sweeps.mjs';
import { viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'counted-regions',
  title: 'Batches of 256 packed SGEs over 1,024 regions with access counters',
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
    const counted = contender('checkPacked(sges), with access counters', true);
    const plain = contender('checkPacked(sges), without access counters', false);
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
          throw new Error(`the regions counted ${sum} accesses, the thread counted ${accepted}`);
        counted.world.close();
        plain.world.close();
      },
    };
  },
};
