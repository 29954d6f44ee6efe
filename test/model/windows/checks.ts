// Models the checks, with the reasons of refusals, by keys of regions and of windows (docs/semantics.md sections 9, 10 and 12,
// docs/guide/windows.md).

import {
  CLOSED_DOMAIN,
  REMOTE_READ,
  type Element,
  type Region,
  type Window,
  type WindowsSession,
} from './objects';
import type { CheckOp } from './operations';

type Access = Omit<CheckOp, 'op'>;

/** Returns the element that the access would get, or the reason of its refusal. */
export function check(session: WindowsSession, access: Access): Element | string {
  const qp = 'qp' in access.by ? session.qps.get(access.by.qp) : undefined;
  const pd = 'pd' in access.by ? access.by.pd : qp?.pd;
  if (pd === CLOSED_DOMAIN || (qp && !qp.alive)) return 'Closed';
  const holder = session.table.find(access.key);
  if (holder === undefined) return reasonOfKey(session, access.key);
  return holder.holds === 'window'
    ? throughWindow(session, holder, access, pd)
    : throughRegion(holder, access, pd);
}

function reasonOfKey({ table, lastKeys }: WindowsSession, key: number): string {
  const slot = Math.floor(key / 2 ** (32 - table.bits));
  if (table.slots.has(slot)) return 'StaleKey';
  return lastKeys.get(slot) === key ? 'Revoked' : 'NoSuchKey';
}

function throughRegion(region: Region, access: Access, pd: number | undefined): Element | string {
  const local = 'pd' in access.by;
  const origin = local ? region.start : region.iova;
  if (!region.valid) return 'Invalidated';
  if (region.pd !== pd) return 'WrongPd';
  if (isOutside(access, origin, region.length)) return 'OutOfBounds';
  // Local accesses need all of their rights, remote ones any.
  const granted = region.access & access.acc;
  if (local ? granted !== access.acc : granted === 0) return 'AccessDenied';
  if (!isMapped(region, access.addr - origin, access.length)) return 'Unmapped';
  return {
    region,
    length: access.length,
    readable: local || (granted & REMOTE_READ) !== 0,
    through: undefined,
  };
}

function throughWindow(
  session: WindowsSession,
  window: Window,
  access: Access,
  pd: number | undefined,
): Element | string {
  const { binding } = window;
  if (!binding) return 'WindowUnbound';
  if (window.pd !== pd) return 'WrongPd';
  if ('pd' in access.by) return 'WindowLocal';
  // A queue pair that is made after the end of another one is another one, whatever its number.
  if (binding.qp && binding.qp !== session.qps.get(access.by.qp)) return 'WindowOtherQp';
  if (window.terms?.expired) return 'LeaseExpired';
  if (isOutside(access, binding.addr, binding.length)) return 'OutOfBounds';
  const granted = binding.access & access.acc;
  if (granted === 0) return 'AccessDenied';
  const { region } = binding;
  if (!isMapped(region, access.addr - region.iova, access.length)) return 'Unmapped';
  return {
    region,
    length: access.length,
    readable: (granted & REMOTE_READ) !== 0,
    through: { window, binding },
  };
}

function isOutside({ addr, length }: Access, origin: bigint, room: number): boolean {
  return addr < origin || addr + BigInt(length) > origin + BigInt(room);
}

/** An empty access at the end of the last page has no page. Others lie inside the length, whose pages are all there. */
function isMapped(region: Region, offset: bigint, length: number): boolean {
  return length > 0 || region.hasPageAt(offset);
}

/** Returns why the bytes of an element cannot be used now, if they cannot. */
export function refusalOfUse({ region, readable, through }: Element): string | undefined {
  if (!readable) return 'AccessDenied';
  if (!region.alive) return 'RegionRevoked';
  if (!through) return undefined;
  const { window, binding } = through;
  return window.alive && window.binding === binding ? undefined : 'WindowEnded';
}
