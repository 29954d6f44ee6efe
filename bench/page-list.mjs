// Measures mapping a page list, which checks every page, compared with a plain copy of the list.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { openDevice, shuffled } from './harness/world.mjs';

const PAGES = 65_536;
const PAGE = 4096;
const IOVA = 0x10_0000_0000;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'page-list',
  title: 'Mapping 65,536 pages of one DMA mapping, in random order',
  unit: 'ns/page',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const mapping = device.dma.map(new ArrayBuffer(PAGES * PAGE));
    const fmr = pd.allocFmr({ access: Access.LocalWrite, maxPages: PAGES, pageShift: 12 });
    const mr = pd.allocMr({ maxNumSg: PAGES });

    const pages = shuffled(PAGES).map((page) => mapping.address + BigInt(page * PAGE));
    const list = BigUint64Array.from(pages);
    const pairs = BigUint64Array.from(pages.flatMap((page) => [page, BigInt(PAGE)]));
    const copy = new BigUint64Array(PAGES);

    // Verify that the FMR maps the pages of the list.
    fmr.mapPhys(list, IOVA);
    for (const page of [0, 1, PAGES / 2, PAGES - 1]) {
      const place = pd.check({ addr: IOVA + page * PAGE + 5, length: 1, lkey: fmr.lkey }, Access.LocalWrite);
      strictEqual(place.ok && place.at, (list[page] ?? 0n) + 5n);
    }
    strictEqual(mr.mapSg(pairs), PAGES);

    return {
      contenders: {
        mapPhys: {
          label: 'fmr.mapPhys(list)',
          elements: PAGES,
          run(passes) {
            let bytes = 0;
            for (let pass = 0; pass < passes; pass++) {
              fmr.mapPhys(list, IOVA);
              bytes += fmr.length;
            }
            return bytes;
          },
        },
        mapSg: {
          label: 'mr.mapSg(list of address, length)',
          elements: PAGES,
          run(passes) {
            let bytes = 0;
            for (let pass = 0; pass < passes; pass++) bytes += mr.mapSg(pairs) * PAGE;
            return bytes;
          },
        },
        set: {
          label: 'BigUint64Array.set(list)',
          elements: PAGES,
          run(passes) {
            let bytes = 0;
            for (let pass = 0; pass < passes; pass++) {
              copy.set(list);
              bytes += copy[PAGES - 1] === list[PAGES - 1] ? copy.length * PAGE : 0;
            }
            return bytes;
          },
        },
      },
      lines: [
        { name: 'page-list', of: 'mapPhys', peer: 'set', reach: 4, quoted: 0.68 },
        { name: 'page-list/map-sg', of: 'mapSg', peer: 'set', quoted: 2.63 },
        { name: 'page-list/peer-set', of: 'set' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};
