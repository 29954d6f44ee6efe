// Models mapping and unmapping of FMRs (docs/semantics.md section 8, docs/deviations.md section 5).

import { MAX_U32, wraps } from './numbers';
import { PageList, type Region } from './region';
import { refuse, type Session } from './session';
import type { Answer, MapPhysFmrOp, UnmapFmrOp } from './trace-types';

export function mapPhysFmr(session: Session, op: MapPhysFmrOp): Answer {
  const region = session.regionOf(op.fmr, ['fmr']);
  const pages = op.pages.map(BigInt);
  const iova = BigInt(op.iova);
  const length = BigInt(pages.length) * region.segmentSize;

  if (region.halfDead || region.references > 2) return refuse('EBUSY');
  if (pages.length > region.capacity) return refuse('EINVAL');
  if (length > MAX_U32) return refuse('EINVAL');
  if (wraps(iova, length)) return refuse('EINVAL');
  if (!pages.every((page) => session.insideDma(page, region.segmentSize))) return refuse('EINVAL');

  map(region, pages, iova, length);
  return { ret: 0 };
}

export function unmapFmr(session: Session, op: UnmapFmrOp): Answer {
  // A set, because an FMR that is listed twice counts once.
  const regions = new Set(op.fmrs.map((id) => session.regionOf(id, ['fmr'])));
  if ([...regions].some((region) => region.halfDead)) return refuse('EBUSY');
  for (const region of regions) map(region, [], 0n, 0n);
  return { ret: 0 };
}

function map(region: Region, pages: bigint[], iova: bigint, length: bigint): void {
  region.segments = new PageList(pages);
  region.mapping += 1;
  region.base = region.iova = region.visibleAddress = iova;
  region.length = region.visibleLength = length;
  region.offset = 0n;
}
