// Models fast_reg_mr and invalidate_rkey (docs/semantics.md sections 6 and 7).

import { keyOf, wraps } from './numbers';
import { keys } from './lifetime';
import { refuse, type Session } from './session';
import type { Answer, FastRegMrOp, InvalidateRkeyOp } from './trace-types';

export function fastRegMr(session: Session, op: FastRegMrOp): Answer {
  const qp = session.qp(op.qp);
  const region = session.region(op.mr);
  const key = keyOf(op.key);
  // The consumer stores the iova before the call, so it is kept even if the call fails.
  if (op.iova !== undefined && region.kind === 'mem_reg') region.visibleAddress = BigInt(op.iova);

  if (qp.pd !== region.pd) return refuse('EACCES');
  if (region.kind !== 'mem_reg') return refuse('EINVAL');
  if (region.halfDead) return refuse('EINVAL');
  if (key >>> 8 !== region.key >>> 8) return refuse('EINVAL');
  if (wraps(region.visibleAddress, region.length)) return refuse('EINVAL');

  region.key = key;
  region.access = op.access;
  region.iova = region.visibleAddress;
  region.valid = true;
  return keys(region);
}

export function invalidateRkey(session: Session, op: InvalidateRkeyOp): Answer {
  const qp = session.qp(op.qp);
  const key = keyOf(op.rkey);
  if (key === 0) return refuse('EINVAL');
  const region = session.table.find(key);
  if (region?.pd !== qp.pd) return refuse('EINVAL');
  region.valid = false;
  return { ret: 0 };
}
