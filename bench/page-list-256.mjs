// Measures mapping a short page list, as a program may do for each request. Compared with a plain copy of the list, and with the
// reference's own C code.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { quoted } from './harness/question.mjs';
import { openDevice, shuffled } from './harness/world.mjs';

const PAGES = 256;
const PAGE = 4096;
/** Number of lists. They are mapped in turn, so that a list is not always in the L1 cache. */
const LISTS = 64;
const IOVA = 0x10_0000_0000;

/** Figure of the reference's `map_phys_fmr`, in ns per page. */
const REFERENCE_PAGE = 0.68;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'page-list-256',
  title: 'Mapping lists of 256 pages of one DMA mapping, in random order',
  unit: 'ns/page',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const mapping = device.dma.map(new ArrayBuffer(LISTS * PAGES * PAGE));
    const fmr = pd.allocFmr({ access: Access.LocalWrite, maxPages: PAGES, pageShift: 12 });
    const pages = shuffled(LISTS * PAGES).map((page) => mapping.address + BigInt(page * PAGE));
    const lists = Array.from({ length: LISTS }, (_, i) =>
      BigUint64Array.from(pages.slice(i * PAGES, (i + 1) * PAGES)),
    );
    const copy = new BigUint64Array(PAGES);

    // Verify that the FMR maps the pages of each list.
    for (const list of lists) {
      fmr.mapPhys(list, IOVA);
      strictEqual(fmr.length, PAGES * PAGE);
      for (const page of [0, 1, PAGES / 2, PAGES - 1]) {
        const element = { addr: IOVA + page * PAGE + 5, length: 1, lkey: fmr.lkey };
        const place = pd.check(element, Access.LocalWrite);
        strictEqual(place.ok && place.at, (list[page] ?? 0n) + 5n);
      }
    }
    return {
      contenders: {
        mapPhys: {
          label: 'fmr.mapPhys(list)',
          elements: LISTS * PAGES,
          run(passes) {
            let mapped = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const list of lists) {
                fmr.mapPhys(list, IOVA);
                mapped += PAGES;
              }
            }
            return mapped;
          },
        },
        set: {
          label: 'BigUint64Array.set(list)',
          elements: LISTS * PAGES,
          run(passes) {
            let copied = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const list of lists) {
                copy.set(list);
                copied += copy[PAGES - 1] === list[PAGES - 1] ? PAGES : 0;
              }
            }
            return copied;
          },
        },
        reference: quoted(REFERENCE_PAGE),
      },
      lines: [
        { name: 'page-list-256', of: 'mapPhys', peer: 'reference', reach: 1.5, quoted: REFERENCE_PAGE },
        { name: 'page-list-256/set', of: 'mapPhys', peer: 'set' },
        { name: 'page-list-256/peer-set', of: 'set' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};
