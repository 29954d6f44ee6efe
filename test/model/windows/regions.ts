// Models the life of a region with windows: registration, deregistration and re-registration (docs/guide/windows.md,
// "Re-registration" and the last rows of "Memory windows").

import { ADDRESS_END, pageUp, wraps } from '../numbers';
import {
  CLOSED_DOMAIN,
  done,
  fail,
  halfDead,
  LOCAL_WRITE,
  NEED_LOCAL_WRITE,
  Region,
  type WindowsSession,
} from './objects';
import type { AllocMrOp, DeregOp, RegOp, ReregOp, Translation, WindowsAnswer } from './operations';

function judgeRights(access: number): WindowsAnswer | undefined {
  if (access & NEED_LOCAL_WRITE && !(access & LOCAL_WRITE)) return fail('EINVAL', 'RightsNeedLocalWrite');
  return undefined;
}

function judgeRange({ size, start, iova = start }: Translation): WindowsAnswer | undefined {
  const length = BigInt(size);
  if (size === 0) return fail('EINVAL', 'EmptyMemory');
  if (pageUp(start + length) >= ADDRESS_END) return fail('EINVAL', 'StartTooHigh');
  if (wraps(iova, length)) return fail('EINVAL', 'IovaTooHigh');
  return undefined;
}

function translate(region: Region, { size, start, iova = start }: Translation): void {
  region.start = start;
  region.iova = iova;
  region.length = size;
}

function enter(session: WindowsSession, region: Region): WindowsAnswer {
  if (!session.enter(region)) return fail('ENOMEM', 'TableFull');
  session.regions.set(region.id, region);
  return done;
}

export function reg(session: WindowsSession, op: RegOp): WindowsAnswer {
  const refused = judgeRights(op.access);
  if (refused) return refused;
  if (op.pd === CLOSED_DOMAIN) return fail('EBADF', 'PdGone');
  const wrong = judgeRange(op);
  if (wrong) return wrong;
  const region = new Region(op.id, 'user', op.pd, op.access);
  translate(region, op);
  return enter(session, region);
}

export function allocMr(session: WindowsSession, op: AllocMrOp): WindowsAnswer {
  if (op.pd === CLOSED_DOMAIN) return fail('EBADF', 'PdGone');
  return enter(session, new Region(op.id, 'mem_reg', op.pd, 0));
}

export function dereg(session: WindowsSession, region: Region, { force }: DeregOp): WindowsAnswer {
  if (!region.alive) return done;
  if (!force) {
    const windows = session.countWindows(region);
    if (windows > 0) return fail('EBUSY', 'WindowsBound', { windows });
  }
  for (const window of region.windows) {
    if (window.terms) session.end(window);
    else session.unbind(window);
  }
  session.leave(region);
  if (region.held > 0 && !force) {
    region.halfDead = true;
    return fail('EBUSY', 'RegionHeld', { elements: region.held });
  }
  region.alive = false;
  return done;
}

export function rereg(session: WindowsSession, region: Region, op: ReregOp): WindowsAnswer {
  const { translation, access, pd } = op;
  const rights = access === undefined ? undefined : judgeRights(access);
  if (rights) return rights;
  // Everything up to here leaves the old registration valid.
  const refused = judgeRereg(session, region, op);
  if (refused) return refused;

  const wrong = translation && judgeRange(translation);
  if (wrong) {
    region.valid = false;
    return wrong;
  }
  if (translation) translate(region, translation);
  if (access !== undefined) region.access = access;
  if (pd !== undefined) region.pd = pd;
  if (translation !== undefined || pd !== undefined) renew(session, region);
  return done;
}

function judgeRereg(session: WindowsSession, region: Region, op: ReregOp): WindowsAnswer | undefined {
  if (op.translation === undefined && op.access === undefined && op.pd === undefined)
    return fail('EINVAL', 'ReregNothing');
  if (!region.alive) return fail('EBADF', 'RegionGone');
  if (region.kind !== 'user') return fail('EINVAL', 'RegionKind');
  if (region.halfDead) return halfDead(region);
  if (!region.valid) return fail('EINVAL', 'ReregInvalid');
  if (op.pd === CLOSED_DOMAIN) return fail('EBADF', 'PdGone');
  const windows = session.countWindows(region);
  if (windows > 0) return fail('EBUSY', 'WindowsBound', { windows });
  return region.held > 0 ? fail('EBUSY', 'ReregHeld', { elements: region.held }) : undefined;
}

/** Gives the region a new key in a slot of its own. If no other slot is free it keeps the slot, but never the key. */
function renew(session: WindowsSession, region: Region): void {
  const { table } = session;
  const { key, slot } = region;
  session.leave(region);
  let next = table.next;
  while (table.slots.has(next)) next = (next + 1) % table.max;
  if (next === slot) {
    if (table.max - table.slots.size > 1) table.next = (slot + 1) % table.max;
    else {
      const generations = 2 ** (24 - table.bits);
      if ((table.gen + 1) % generations === Math.floor(key / 2 ** 8) % generations) table.gen += 1;
    }
  }
  table.enter(region);
}
