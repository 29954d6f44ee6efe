// Models lkey_ok, rkey_ok and coalescing (docs/semantics.md sections 9 to 12, docs/deviations.md sections 1 to 4).

import { keyOf, MAX_U32 } from './numbers';
import { describeSge, isStale, type ProtectionDomain, type Region, type Sge } from './region';
import { refuse, type Session } from './session';
import type { Answer, LkeyOkOp, RkeyOkOp } from './trace-types';

export interface Request {
  id: string;
  pd: ProtectionDomain;
  key: number;
  address: bigint;
  length: bigint;
  /** Whether the request is local and relative to the base of the region, or remote and relative to its iova. */
  local: boolean;
  acc: number;
}

export function lkeyOk(session: Session, op: LkeyOkOp): Answer {
  const request: Request = {
    id: op.id,
    pd: session.pd(op.pd),
    key: keyOf(op.sge.lkey),
    address: BigInt(op.sge.addr),
    length: BigInt(op.sge.length),
    local: true,
    acc: op.acc,
  };
  const last = op.last === null ? undefined : session.sge(op.last);

  const sge = check(session, request);
  if (sge === undefined) return refuse('EINVAL');
  if (last !== undefined && coalesce(last, sge)) return { ret: 0, sge: describeSge(last) };
  session.bindSge(sge);
  return { ret: 1, sge: describeSge(sge) };
}

export function rkeyOk(session: Session, op: RkeyOkOp): Answer {
  const sge = check(session, {
    id: op.id,
    pd: session.qp(op.qp).pd,
    key: keyOf(op.rkey),
    address: BigInt(op.vaddr),
    length: BigInt(op.len),
    local: false,
    acc: op.acc,
  });
  if (sge === undefined) return { ret: 0 };
  session.bindSge(sge);
  return { ret: 1, sge: describeSge(sge) };
}

/** Returns the SGE that the request would get without coalescing, not bound yet and without a reference; undefined if refused. */
export function check(session: Session, request: Request): Sge | undefined {
  return request.key === 0 ? checkKeyZero(session, request) : checkKey(session, request);
}

/**
 * Checks key 0. Access and protection domain do not matter, except that the domain must be trusted, but the range must lie in DMA
 * memory (docs/deviations.md section 3).
 */
function checkKeyZero(session: Session, request: Request): Sge | undefined {
  const { address, length } = request;
  const region = session.published;
  if (request.pd.user || region === undefined) return undefined;
  if (!session.insideDma(address, length)) return undefined;
  // An empty request must also lie inside DMA memory, and not at its end (docs/deviations.md section 2).
  if (length === 0n && address === session.dmaEnd) return undefined;
  return accept(request, region, { position: address, segment: 0n, length });
}

function checkKey(session: Session, request: Request): Sge | undefined {
  const region = session.table.find(request.key);
  if (region === undefined || !region.valid || region.pd !== request.pd) return undefined;

  const base = request.local ? region.base : region.iova;
  if (request.address < base) return undefined;
  const off = request.address - base;
  if (off + request.length > region.length) return undefined;

  const granted = request.local
    ? (request.acc & ~region.access) === 0 // all bits (docs/semantics.md section 9.4)
    : (request.acc & region.access) !== 0; // any bit (docs/semantics.md section 10)
  if (!granted) return undefined;

  // Segment arithmetic: docs/semantics.md section 12.
  const p = off + region.offset;
  const segment = p / region.segmentSize;
  const into = p % region.segmentSize;
  // Only an empty request can reach this point without a segment (docs/deviations.md section 2).
  if (request.length === 0n && segment >= region.segments.count) return undefined;
  return accept(request, region, {
    position: region.segments.start(segment) + into,
    segment,
    length: region.segmentSize - into,
  });
}

function accept(request: Request, region: Region, place: Pick<Sge, 'position' | 'segment' | 'length'>): Sge {
  return {
    id: request.id,
    region,
    mapping: region.mapping,
    address: request.address,
    local: request.local,
    sgeLength: request.length,
    ...place,
  };
}

/**
 * Merges `sge`, which has passed every check by itself, into `last` if they may coalesce (docs/semantics.md section 11,
 * docs/deviations.md section 4).
 */
export function coalesce(last: Sge, sge: Sge): boolean {
  const { region } = last;
  if (region !== sge.region || isStale(last)) return false;
  // Positions in user memory are not DMA addresses, so they cannot match one.
  if (region.kind === 'user') return false;
  if (last.position + last.length !== sge.address) return false;
  if (last.address + last.sgeLength !== sge.address) return false;

  const sgeLength = last.sgeLength + sge.sgeLength;
  // The segment of a key-0 SGE grows with the SGE; the segments of other SGEs stay as they are.
  const length = region.kind === 'dma' ? last.length + sge.sgeLength : last.length;
  if (sgeLength > MAX_U32 || length > MAX_U32) return false;
  last.sgeLength = sgeLength;
  last.length = length;
  return true;
}
