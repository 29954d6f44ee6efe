// Models map_mr_sg (docs/semantics.md section 5, docs/deviations.md section 6).

import { hex, PAGE, pageDown, wraps } from './numbers';
import { PageList, type Region } from './region';
import type { Session } from './session';
import type { Answer, Errno, MapMrSgOp } from './trace-types';

interface Element {
  addr: bigint;
  length: bigint;
}

interface Layout {
  pages: bigint[];
  total: bigint;
  answer: { ret: number } | { err: Errno };
}

export function mapMrSg(session: Session, op: MapMrSgOp): Answer {
  const region = session.region(op.mr);
  const elements = op.sg.map(({ addr, length }) => ({ addr: BigInt(addr), length: BigInt(length) }));
  const offset = BigInt(op.sg_offset ?? 0);
  const first = elements[0];

  const refused: Answer = { err: 'EINVAL', ...visible(region) };
  if (region.kind !== 'mem_reg' || region.halfDead) return refused;
  if (BigInt(op.page_size) !== PAGE) return refused;
  if (first === undefined || offset > first.length) return refused;
  // Every element must be valid before any takes effect, even an element that the mapping does not reach.
  if (elements.some(({ addr, length }) => length === 0n || !session.insideDma(addr, length))) return refused;

  const visibleAddress = first.addr + offset;
  if (region.capacity === 0) {
    map(region, visibleAddress, { pages: [], total: 0n });
    return { err: 'ENOMEM', ...visible(region) };
  }
  if (offset === first.length) return refused;

  const layout = lay(elements, offset, region.capacity);
  if (wraps(visibleAddress, layout.total)) return refused;
  map(region, visibleAddress, layout);
  return { ...layout.answer, ...visible(region) };
}

/**
 * Lays out the pages of the elements in order, as long as the elements continue each other and there is room (docs/semantics.md
 * section 5.3).
 */
function lay(elements: readonly Element[], offset: bigint, capacity: number): Layout {
  const pages: bigint[] = [];
  let total = 0n;
  let previousEnd = 0n;
  for (const [i, element] of elements.entries()) {
    const start = i === 0 ? element.addr + offset : element.addr;
    const end = element.addr + element.length;

    let page = pageDown(start);
    const joinsInsideAPage = i > 0 && (previousEnd % PAGE !== 0n || start % PAGE !== 0n);
    if (joinsInsideAPage) {
      if (previousEnd !== start) return { pages, total, answer: { ret: i } };
      page += PAGE; // The page that holds `start` is already in the list.
    }

    let reached = start;
    for (; page < end; page += PAGE) {
      if (pages.length === capacity) {
        // The last page that fits is not counted. If that page begins before `start`, nothing is counted: the reference's length
        // drops below zero there (docs/deviations.md section 6, map_length_underflow).
        if (reached > start) total += reached - start;
        const nothing = i === 0 && reached === element.addr;
        return { pages, total, answer: nothing ? { err: 'ENOMEM' } : { ret: i } };
      }
      pages.push(page);
      reached = page;
    }
    total += end - start;
    previousEnd = end;
  }
  return { pages, total, answer: { ret: elements.length } };
}

function map(region: Region, address: bigint, { pages, total }: { pages: bigint[]; total: bigint }): void {
  region.segments = new PageList(pages);
  region.mapping += 1;
  region.base = region.iova = region.visibleAddress = address;
  region.length = region.visibleLength = total;
  region.offset = address - (pages[0] ?? address);
}

/** Returns the consumer-visible address and length of the region, which every answer contains. */
function visible(region: Region) {
  return { iova: hex(region.visibleAddress), length: hex(region.visibleLength) };
}
