// Models the creation and release of regions (docs/semantics.md sections 3 and 4).

import { ADDRESS_END, hex, MAX_I32, pageUp, wraps } from './numbers';
import { Region, UserPages } from './region';
import { refuse, type Session } from './session';
import type { AllocFmrOp, AllocMrOp, Answer, GetDmaMrOp, RegUserMrOp } from './trace-types';

export function regUserMr(session: Session, op: RegUserMrOp): Answer {
  const pd = session.pd(op.pd);
  const start = BigInt(op.start);
  const length = BigInt(op.length);
  const virtAddr = BigInt(op.virt_addr);
  if (length === 0n) return refuse('EINVAL');
  const end = start + length;
  // Unlike a range of iovas, the local range must end below 2^64, even when rounded up to a page (docs/deviations.md section 6,
  // last row).
  if (end >= ADDRESS_END || pageUp(end) >= ADDRESS_END) return refuse('EINVAL');
  if (wraps(virtAddr, length)) return refuse('EINVAL');

  const region = new Region(op.id, 'user', pd, op.access);
  region.base = start;
  region.iova = virtAddr;
  region.length = length;
  region.segments = new UserPages(start, length);
  region.offset = start % region.segmentSize;
  region.visibleAddress = virtAddr;
  region.visibleLength = length;
  return enter(session, region);
}

export function getDmaMr(session: Session, op: GetDmaMrOp): Answer {
  const pd = session.pd(op.pd);
  if (pd.user) return refuse('EPERM');
  // A second DMA region is inert and is never promoted (docs/semantics.md section 4).
  const publish = session.published === undefined;
  const region = new Region(op.id, 'dma', pd, op.access, publish ? 3 : 2);
  if (publish) session.published = region;
  session.regions.set(region.id, region);
  return keys(region);
}

export function allocMr(session: Session, op: AllocMrOp): Answer {
  const pd = session.pd(op.pd);
  if (op.type !== 'mem_reg') return refuse('EINVAL');
  if (op.max_num_sg > MAX_I32) return refuse('EINVAL');
  const region = new Region(op.id, 'mem_reg', pd, 0);
  region.capacity = op.max_num_sg;
  return enter(session, region);
}

export function allocFmr(session: Session, op: AllocFmrOp): Answer {
  const pd = session.pd(op.pd);
  if (op.max_pages < 0 || op.max_pages > MAX_I32) return refuse('EINVAL');
  if (op.page_shift < 0 || op.page_shift > 30) return refuse('EINVAL');
  const region = new Region(op.id, 'fmr', pd, op.access);
  region.capacity = op.max_pages;
  region.segmentSize = 1n << BigInt(op.page_shift);
  return enter(session, region);
}

/** Applies `dereg_mr` or `dealloc_fmr`, both the first time and on a retry. */
export function release(session: Session, region: Region): Answer {
  session.table.leave(region);
  if (session.published === region) session.published = undefined;
  if (region.held > 0) {
    region.halfDead = true;
    return refuse('EBUSY');
  }
  session.regions.delete(region.id);
  return { ret: 0 };
}

export function keys(region: Region): Answer {
  return { ret: 0, lkey: hex(region.key), rkey: hex(region.key) };
}

/**
 * Enters a region into the key table. This is the last step of creating a region with a key, and the only one that can fail with
 * ENOMEM.
 */
function enter(session: Session, region: Region): Answer {
  if (session.table.full) return refuse('ENOMEM');
  session.table.enter(region);
  session.regions.set(region.id, region);
  return keys(region);
}
