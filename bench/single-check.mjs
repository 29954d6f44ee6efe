// Measures one check per call, for accesses that cannot wait to be checked in a batch. Compared with an empty native call.
import { Access } from 'rdmavt';

import { emptyCall } from './harness/empty-call.mjs';
import { FlatTable } from './harness/peers.mjs';
import { BITS, PD, World } from './harness/world.mjs';

const ELEMENTS = 16_384;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'single-check',
  title: 'One check per call, over one region, and random over 1,024 regions',
  unit: 'ns/call',
  prepare() {
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    /** @type {{ addresses: import('./harness/peers.mjs').Numbers, lengths: import('./harness/peers.mjs').Numbers, keys: import('./harness/peers.mjs').Numbers }} */
    const { addresses, lengths, keys } = work;
    /** @type {import('./harness/peers.mjs').Numbers} */
    const bigints = Array.from(work.addresses, BigInt);
    const one = new World(1);
    const few = one.work(ELEMENTS);
    /** @type {import('./harness/peers.mjs').Numbers} */
    const fewAddresses = few.addresses;
    /** @type {import('./harness/peers.mjs').Numbers} */
    const fewLengths = few.lengths;
    /** @type {import('./harness/peers.mjs').Numbers} */
    const fewKeys = few.keys;
    const hot = one.pd.checker();
    const local = world.pd.checker();
    const remote = world.qp.checker();
    const flat = new FlatTable(BITS, world.entries);
    const access = Access.LocalWrite;

    /** @param {(i: number) => number} check @returns {(passes: number) => number} */
    const sweep = (check) => (passes) => {
      let refused = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let i = 0; i < ELEMENTS; i++) refused += check(i);
      }
      return refused;
    };
    return {
      // Each of the first contenders contains its own loop: a helper function that V8 might not inline would distort the figures.
      contenders: {
        hot: {
          label: 'checker.refusal(number, ...), one region',
          elements: ELEMENTS,
          run(passes) {
            let refused = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let i = 0; i < ELEMENTS; i++)
                refused += hot.refusal(fewAddresses[i], fewLengths[i], fewKeys[i], access);
            }
            return refused;
          },
        },
        block: {
          label: 'checker.refusal(number, ...), 1,024 regions',
          elements: ELEMENTS,
          run(passes) {
            let refused = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let i = 0; i < ELEMENTS; i++)
                refused += local.refusal(addresses[i], lengths[i], keys[i], access);
            }
            return refused;
          },
        },
        remote: {
          label: 'checker.refusal(number, ...), remote',
          elements: ELEMENTS,
          run(passes) {
            let refused = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let i = 0; i < ELEMENTS; i++) {
                refused += remote.refusal(addresses[i], lengths[i], keys[i], Access.RemoteWrite);
              }
            }
            return refused;
          },
        },
        empty: emptyCall(ELEMENTS),
        flat: {
          label: 'JavaScript, flat table',
          elements: ELEMENTS,
          run(passes) {
            let refused = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let i = 0; i < ELEMENTS; i++) {
                refused += flat.judge(addresses[i], lengths[i], keys[i], PD, access);
              }
            }
            return refused;
          },
        },
        bigint: {
          label: 'checker.refusal(bigint, ...)',
          elements: ELEMENTS,
          run: sweep((i) => local.refusal(bigints[i], lengths[i], keys[i], access)),
        },
      },
      lines: [
        { name: 'single-check', of: 'hot', peer: 'empty', reach: 3 },
        { name: 'single-check/1024-regions', of: 'block', peer: 'empty' },
        { name: 'single-check/remote', of: 'remote', peer: 'empty' },
        { name: 'single-check/bigint', of: 'bigint', peer: 'empty' },
        { name: 'single-check/peer-empty', of: 'empty' },
        { name: 'single-check/peer-flat', of: 'flat' },
      ],
      close() {
        one.close();
        world.close();
      },
    };
  },
};
