// Measures the cost of random keys: the same requests and batches over regions with random keys and with sequential keys. The
// records of 1,024 regions lie on about 1,000 pages of the key table with random keys, and on 16 pages with sequential keys.
import { acquireRemote } from './harness/requests.mjs';
import { checkViews } from './harness/sweeps.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;
const REGIONS = [1024, 65_536];

/** @typedef {import('./harness/question.mjs').Line} Line */
/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'sequential-keys',
  title: 'Random and sequential keys: batches of 256 packed SGEs, and requests acquired and put',
  unit: 'ns/element',
  prepare({ smoke }) {
    agreeOnVerdicts(1024, 'random');
    agreeOnVerdicts(1024, 'sequential');
    /** @type {World[]} */
    const worlds = [];
    /** @type {Record<string, Work>} */
    const contenders = {};
    /** @type {Line[]} */
    const lines = [];
    for (const regions of REGIONS) {
      for (const keyPolicy of /** @type {const} */ (['random', 'sequential'])) {
        const world = new World(smoke ? 1024 : regions, { keyPolicy });
        worlds.push(world);
        const where = `${regions.toLocaleString('en')} regions, ${keyPolicy}`;
        contenders[`check-${regions}-${keyPolicy}`] = check(world, where);
        contenders[`acquire-${regions}-${keyPolicy}`] = { ...acquireRemote(world, where), task: 'acquire' };
      }
      for (const what of ['check', 'acquire']) {
        const of = `${what}-${regions}-random`;
        const peer = `${what}-${regions}-sequential`;
        lines.push(
          { name: `sequential-keys/${of}`, of, peer },
          { name: `sequential-keys/${peer}`, of: peer },
        );
      }
    }
    return {
      contenders,
      lines,
      close() {
        for (const world of worlds) world.close();
      },
    };
  },
};

/**
 * Checks all elements with a native batch.
 *
 * @param {World} world
 * @param {string} where
 * @returns {Work}
 */
function check(world, where) {
  const views = viewsOf(world.work(ELEMENTS), BATCH);
  const batch = world.pd.lkeyBatch(1);
  return {
    label: `checkPacked(sges), ${where}`,
    task: 'check',
    elements: ELEMENTS,
    run: checkViews(batch, views),
  };
}
