// Measures whether the time to register depends on the size of the buffer.
import { Access } from 'rdmavt';

import { openDevice } from './harness/world.mjs';

/** Regions per pass. They are deregistered afterwards, outside of the timed code. */
const REGIONS = 64;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'registration',
  title: 'Registering a contiguous buffer',
  unit: 'ns/region',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();

    /**
     * @param {number} bytes
     * @param {string} label
     * @param {number} start
     * @returns {import('./harness/question.mjs').Contender}
     */
    const contender = (bytes, label, start) => {
      // The buffer is never touched, so its pages take no memory.
      const memory = new Uint8Array(bytes);
      /** @type {import('rdmavt').MemoryRegion[]} */
      const regions = [];
      return {
        label,
        elements: REGIONS,
        mostPasses: 16,
        run(passes) {
          for (let i = 0; i < passes * REGIONS; i++) {
            regions.push(pd.regUserMr(memory, { start, access: Access.LocalWrite }));
          }
          return regions.filter((region) => region.start === BigInt(start)).length;
        },
        reset() {
          for (const region of regions) region.dereg();
          regions.length = 0;
        },
      };
    };
    return {
      contenders: {
        gibibyte: contender(2 ** 30, 'regUserMr, 1 GiB', 0x1000),
        page: contender(4096, 'regUserMr, 4 KiB', 0x1000),
      },
      lines: [
        { name: 'registration', of: 'gibibyte', peer: 'page', reach: 1.5 },
        { name: 'registration/peer-4k', of: 'page' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};
