// Models fast_reg_mr and invalidate_rkey (docs/semantics.md sections 6 and 7).

import { keyOf, wraps } from './numbers';
import { keys } from './lifetime';
import type { ProtectionDomain, Region } from './region';
import { refuse, type Session } from './session';
import type { Answer, Errno, FastRegMrOp, InvalidateRkeyOp } from './trace-types';

export function fastRegMr(session: Session, op: FastRegMrOp): Answer {
  const qp = session.qp(op.qp);
  const region = session.region(op.mr);
  // The consumer stores the iova before the call, so it is kept even if the call fails.
  if (op.iova !== undefined && region.kind === 'mem_reg') region.visibleAddress = BigInt(op.iova);
  const err = registerFast(qp.pd, region, keyOf(op.key), op.access);
  return err === undefined ? keys(region) : refuse(err);
}

/** Gives a region a new key and new rights, for a queue pair of the protection domain. Returns why the region refuses them. */
export function registerFast(
  pd: ProtectionDomain,
  region: Region,
  key: number,
  access: number,
): Errno | undefined {
  if (pd !== region.pd) return 'EACCES';
  if (region.kind !== 'mem_reg') return 'EINVAL';
  if (region.halfDead) return 'EINVAL';
  if (key >>> 8 !== region.key >>> 8) return 'EINVAL';
  if (wraps(region.visibleAddress, region.length)) return 'EINVAL';

  region.key = key;
  region.access = access;
  region.iova = region.visibleAddress;
  region.valid = true;
  return undefined;
}

export function invalidateRkey(session: Session, op: InvalidateRkeyOp): Answer {
  const qp = session.qp(op.qp);
  return invalidateKey(session, qp.pd, keyOf(op.rkey)) ? { ret: 0 } : refuse('EINVAL');
}

/** Invalidates the region with the key, for a queue pair of the protection domain. Returns false if there is no such region. */
export function invalidateKey(session: Session, pd: ProtectionDomain, key: number): boolean {
  if (key === 0) return false;
  const region = session.table.find(key);
  if (region?.pd !== pd) return false;
  region.valid = false;
  return true;
}
