// Models what binds and unbinds windows, and leases (docs/guide/windows.md, "Memory windows" and "Leases").

import {
  CLOSED_DOMAIN,
  done,
  fail,
  halfDead,
  LOCAL_WRITE,
  MW_BIND,
  NEED_LOCAL_WRITE,
  type QueuePair,
  type Region,
  REMOTE,
  Window,
  type WindowsSession,
} from './objects';
import type { AllocMwOp, BindOp, InvalidateOp, LeaseOp, WindowsAnswer } from './operations';

export function allocMw(session: WindowsSession, op: AllocMwOp): WindowsAnswer {
  if (op.pd === CLOSED_DOMAIN) return fail('EBADF', 'PdGone');
  const window = new Window(op.id, op.pd);
  if (!session.enter(window)) return fail('ENOMEM', 'TableFull');
  session.windows.set(window.id, window);
  return done;
}

interface Range {
  addr: bigint;
  length: number;
  access: number;
}

export function bind(qp: QueuePair, window: Window, region: Region, op: BindOp): WindowsAnswer {
  if (!qp.alive) return fail('EBADF', 'QpGone');
  if (!window.alive) return fail('EBADF', 'WindowGone');
  if (window.pd !== qp.pd) return fail('EACCES', 'WindowInOtherPd');
  if (window.binding) return fail('EINVAL', 'WindowBound');
  if (Math.floor(op.key / 256) !== Math.floor(window.key / 256)) return fail('EINVAL', 'WindowKeySlot');
  if (!region.alive) return fail('EBADF', 'RegionGone');
  if (region.pd !== qp.pd) return fail('EACCES', 'RegionInOtherPd');
  if (region.kind === 'user' && !(region.access & MW_BIND)) return fail('EACCES', 'BindNotAllowed');
  const refused = judge(region, op);
  if (refused) return refused;
  window.key = op.key;
  const { addr, length, access } = op;
  window.binding = { region, addr, length, access, qp };
  region.windows.add(window);
  return done;
}

/** What windows and leases have in common. */
function judge(region: Region, { addr, length, access }: Range): WindowsAnswer | undefined {
  if (region.kind !== 'user') return fail('EINVAL', 'RegionKind');
  if (region.halfDead) return halfDead(region);
  if (!region.valid) return fail('EINVAL', 'BindInvalid');
  if (access & ~REMOTE) return fail('EINVAL', 'BindRights');
  if (access & NEED_LOCAL_WRITE && !(region.access & LOCAL_WRITE))
    return fail('EACCES', 'BindNeedsLocalWrite');
  if (length === 0) return fail('EINVAL', 'BindEmpty');
  const end = region.iova + BigInt(region.length);
  if (addr < region.iova || addr + BigInt(length) > end) return fail('EINVAL', 'BindOutside');
  return undefined;
}

export function lease(
  session: WindowsSession,
  region: Region,
  qp: QueuePair | undefined,
  op: LeaseOp,
): WindowsAnswer {
  if (!region.alive) return fail('EBADF', 'RegionGone');
  if (region.halfDead || !region.valid) return fail('EINVAL', 'DeadKey');
  if (region.length === 0) return fail('EINVAL', 'NothingMapped');
  if (!(region.access & REMOTE)) return fail('EACCES', 'NoRemoteRight');
  if (op.offset >= region.length) return { range: 'options.offset' };
  const { length = region.length - op.offset, access = region.access & REMOTE } = op;
  if (length > region.length - op.offset) return { range: 'options.length' };

  const addr = region.iova + BigInt(op.offset);
  if (qp && !qp.alive) return fail('EBADF', 'QpGone');
  if (qp && qp.pd !== region.pd) return fail('EACCES', 'RegionInOtherPd');
  const refused = judge(region, { addr, length, access });
  if (refused) return refused;
  if (access === 0) return fail('EINVAL', 'BindRights');
  if (access & ~region.access) return fail('EACCES', 'LeaseRights');

  session.countWindows(region); // those of the region that have expired give their slots back
  const binding = { region, addr, length, access, qp };
  const window = new Window(op.id, region.pd, { ...binding, expired: op.expired });
  if (!session.enter(window)) return fail('ENOMEM', 'TableFull');
  window.binding = binding;
  region.windows.add(window);
  session.windows.set(window.id, window);
  return done;
}

export function invalidate(session: WindowsSession, qp: QueuePair, op: InvalidateOp): WindowsAnswer {
  if (!qp.alive) return fail('EBADF', 'QpGone');
  const refused = invalidateKey(session, qp, op.key);
  // A message whose invalidation is refused is received without it.
  if (op.how === 'receive') return { invalidated: refused ? undefined : op.key };
  return refused ?? done;
}

function invalidateKey(session: WindowsSession, qp: QueuePair, key: number): WindowsAnswer | undefined {
  if (key === 0) return fail('EINVAL', 'KeyZero');
  const holder = session.table.find(key);
  if (holder === undefined) return fail('EINVAL', 'UnknownKey');
  if (holder.pd !== qp.pd) return fail('EINVAL', 'KeyInOtherPd');
  if (holder.holds === 'region') {
    const windows = session.countWindows(holder);
    if (windows > 0) return fail('EBUSY', 'WindowsBound', { windows });
    holder.valid = false;
    return undefined;
  }
  if (!holder.binding) return fail('EINVAL', 'WindowUnbound');
  if (holder.binding.qp && holder.binding.qp !== qp) return fail('EINVAL', 'WindowOfOtherQp');
  if (holder.terms) session.end(holder);
  else session.unbind(holder);
  return undefined;
}
