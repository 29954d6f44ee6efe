import { type Asker } from './asker';
import {
  type AskedAccess,
  type Facts,
  lookUp,
  type RegionFacts,
  type SlotFacts,
  type WindowFacts,
} from './explanation-facts';
import { mixUpsOfBounds, mixUpsOfKey, mixUpsOfRights, originOf } from './explanation-mixups';
import { nameOfRegion, range, rightsOf } from './explanation-words';
import { AccessBit, KEY_VARIANT_MASK } from '../internal/layout';
import { overrun } from '../internal/overrun';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { bytes, capital, hex } from '../internal/words';

/** The general meaning of each reason, used when the cause of a refusal can no longer be looked up. */
const meanings: Readonly<Record<string, string>> = {
  KeyZeroDenied: 'Key 0 is not allowed for this domain or its peers.',
  NoDmaRegion: 'No DMA region was published for key 0.',
  NoSuchKey: 'No region had this key.',
  Revoked: 'The region that had this key had been deregistered.',
  StaleKey: 'The key table slot of this key held another region.',
  Invalidated: 'The key had been invalidated.',
  WrongPd: 'The region belonged to another protection domain.',
  OutOfBounds: 'Part of the access lay outside the region.',
  AccessDenied: 'The region did not grant the right.',
  Unmapped: 'No memory was mapped there.',
  WindowUnbound: 'The key was that of a memory window that was not bound.',
  WindowLocal: 'The key was that of a memory window or a lease, which only peers may use.',
  WindowOtherQp: 'The memory window or the lease was for the peer of another queue pair.',
  LeaseExpired: 'The time of the lease was over.',
  WindowEnded: 'The memory window or lease that the element was accepted through had been unbound or ended.',
  Closed: 'The domain or queue pair, or its device, had been closed.',
};

function whatFor(access: number, remote: boolean): string {
  if (remote) {
    switch (access) {
      case AccessBit.RemoteRead:
        return "A peer's read (RemoteRead)";
      case AccessBit.RemoteWrite:
        return "A peer's write (RemoteWrite)";
      case AccessBit.RemoteAtomic:
        return "A peer's atomic operation (RemoteAtomic)";
      default:
        return `A peer's access (${rightsOf(access)})`;
    }
  }
  return access === 0 ? 'A local read' : `A local access (${rightsOf(access)})`;
}

/** Describes the refused access: the operation, the address, the key, and the domain or queue pair. */
function request(asker: Asker, asked: AskedAccess, reason: RefusalReason): string {
  const { address, length, key, access } = asked;
  const who = asker.remote ? `over queue pair ${asker.id}` : `by protection domain ${asker.id}`;
  const where = asker.remote ? 'remote address' : 'local address';
  return `${reason}: ${whatFor(access, asker.remote)} of ${bytes(length)} at ${where} ${hex(address)} with key ${hex(key)} ${who} was refused.`;
}

function keyZero(asker: Asker, facts: Facts): string {
  if (facts.user) {
    return (
      ` Key 0 names all DMA memory and works only in trusted domains; protection domain ${facts.pd} is not trusted ` +
      '(allocPd({ trusted: true }) creates a trusted one). A key that was left out or not yet filled in is also 0.'
    );
  }
  if (asker.remote && !facts.remoteKeyZero) {
    return (
      ' Key 0 is refused from peers because it would give a peer access to all DMA memory; the device was not opened with ' +
      'remoteKeyZero: true. A peer that was never sent an rkey may also use 0.'
    );
  }
  return ' Key 0 is not allowed here.';
}

/** Explains a refusal because the slot of the key is empty. */
function emptySlot(asker: Asker, asked: AskedAccess, facts: Facts): string {
  const { key: last, hidden } = facts.slot;
  const before = last === 0 ? 'has never held a region' : `the last key in it was ${hex(last)}`;
  let text = ` No region has this key: its slot in the key table is empty${hidden ? '' : `, and ${before}`}.`;
  if (last !== 0 && (last & ~KEY_VARIANT_MASK) === (asked.key & ~KEY_VARIANT_MASK)) {
    text +=
      ' The two keys differ only in the low byte: fastRegMr had given the region another key before it was released.';
  }
  return text + mixUpsOfKey(asker, asked, facts);
}

function revoked(asker: Asker, asked: AskedAccess, facts: Facts): string {
  const { halfDead } = facts;
  if (halfDead !== undefined) {
    return (
      ` ${capital(nameOfRegion(halfDead))} was released, so its key no longer works; it is half-dead because ` +
      `${halfDead.held} reference${halfDead.held === 1 ? ' is' : 's are'} still held.`
    );
  }
  return (
    ' The region that had this key no longer exists: it was deregistered, or its domain, device or thread ended.' +
    mixUpsOfKey(asker, asked, facts)
  );
}

function staleKey(asker: Asker, asked: AskedAccess, facts: Facts): string {
  const { slot } = facts;
  if (slot.window !== undefined) {
    const now = ` The slot of this key holds a ${slot.window.lease ? 'lease' : 'memory window'} whose key is ${hex(slot.key)}.`;
    return (slot.key & ~KEY_VARIANT_MASK) === (asked.key & ~KEY_VARIANT_MASK)
      ? `${now} The two keys differ only in the low byte: each BIND_MW gives the window a new key, and this one is old or not yet valid.`
      : now + mixUpsOfKey(asker, asked, facts);
  }
  if (slot.region === undefined) return ' The slot of this key holds a region under another key.';
  const { rkeyMask } = facts;
  if (rkeyMask !== 0 && (slot.key ^ asked.key) >>> 0 === rkeyMask) {
    const given = asker.remote ? 'lkey' : 'rkey';
    const wanted = asker.remote ? 'rkey' : 'lkey';
    return (
      ` This is the ${given} of ${nameOfRegion(slot.region)}, whose ${wanted} is ${hex(slot.key)}: ` +
      `${asker.remote ? 'a peer' : 'a local access'} needs the ${wanted}. On this device, which is strict, as on many NICs, the two differ.`
    );
  }
  const now = ` The slot of this key now holds ${nameOfRegion(slot.region)}.`;
  if ((slot.key & ~KEY_VARIANT_MASK) === (asked.key & ~KEY_VARIANT_MASK)) {
    return `${now} The two keys differ only in the low byte: fastRegMr gave the region another key, and this one is old or not yet valid.`;
  }
  return `${now} The region that had this key was released and its slot was reused, or this was never a key of this device.${mixUpsOfKey(asker, asked, facts)}`;
}

function invalidated(region: RegionFacts): string {
  const again =
    region.kind === 'MEM_REG'
      ? 'fastRegMr makes the region valid again.'
      : 'The region stays invalid: only a region from allocMr can be made valid again, with fastRegMr.';
  return ` The key of ${nameOfRegion(region)} was invalidated (invalidateRkey). ${again}`;
}

function wrongPd(asker: Asker, asked: AskedAccess, facts: Facts, region: RegionFacts): string {
  const asking = asker.remote
    ? `queue pair ${asker.id} is in protection domain ${facts.pd}`
    : `the access was checked in protection domain ${facts.pd}`;
  let text = ` ${capital(nameOfRegion(region))} belongs to protection domain ${region.pd}; ${asking}. A domain's keys work only in that domain.`;
  if (facts.own !== undefined) {
    text += ` Protection domain ${facts.pd} has ${nameOfRegion(facts.own)} at the same address; perhaps its key was meant.`;
  }
  return text;
}

function outOfBounds(asker: Asker, asked: AskedAccess, facts: Facts, region: RegionFacts): string {
  if (asked.key === 0) {
    if (facts.dma === undefined) return ' The range begins in a DMA mapping and ends outside it.';
    const { address, length } = facts.dma;
    return (
      ` ${overrun(asked.address, asked.length, address, length)}. The DMA mapping there is ${range(address, length)}: ` +
      'an access with key 0 must lie in one mapping, even if another mapping begins where it ends.'
    );
  }
  if (region.length === 0n) {
    const how = region.kind === 'FMR' ? 'mapPhys' : 'mapSg';
    return ` ${capital(nameOfRegion(region))} has nothing mapped: call ${how} first.`;
  }
  const origin = originOf(asker.remote, region);
  const named = asker.remote ? 'remote addresses (iova)' : 'local addresses (start)';
  return (
    ` ${overrun(asked.address, asked.length, origin, region.length)}: ${nameOfRegion(region)} has ` +
    `${bytes(region.length)} at the ${named} ${range(origin, region.length)}.` +
    mixUpsOfBounds(asker, asked, facts, region)
  );
}

function accessDenied(asker: Asker, asked: AskedAccess, facts: Facts, region: RegionFacts): string {
  const missing = asked.access & ~region.access;
  const what =
    asked.access === 0
      ? 'the request asks for no right, but a peer must ask for one'
      : `${rightsOf(missing === 0 ? asked.access : missing)} is missing`;
  return ` ${capital(nameOfRegion(region))} grants ${rightsOf(region.access)}; ${what}.${mixUpsOfRights(asker, asked, facts, region)}`;
}

/** Explains a refusal by the key of a memory window or a lease. */
function byWindow(
  asker: Asker,
  asked: AskedAccess,
  reason: RefusalReason,
  facts: Facts,
  window: WindowFacts,
): string {
  const { lease, address, length, access, qp, pd } = window;
  const what = lease ? 'lease' : 'memory window';
  const region = facts.slot.region === undefined ? 'its region' : nameOfRegion(facts.slot.region);
  const covers = `It covers ${bytes(length)} of ${region} at the remote addresses ${range(address, length)}`;
  switch (reason) {
    case 'WindowUnbound':
      return (
        ' The key is that of a memory window that is bound to no region: no BIND_MW was carried out yet, or LOCAL_INV, ' +
        "a peer's SEND_WITH_INV or the end of its region has unbound it."
      );
    case 'WindowLocal':
      return ` The key is that of a ${what}: only peers may use it, as an rkey. ${covers}; a local access needs the lkey of that region.`;
    case 'WindowOtherQp':
      return ` The key is that of a ${what} for the peer of queue pair ${qp} alone; this access came over queue pair ${asker.id}.`;
    case 'LeaseExpired':
      return ` The key is that of a lease whose time is over. ${covers}; advertise the range again for a new lease.`;
    case 'WrongPd':
      return ` The key is that of a ${what} in protection domain ${pd}; this access was checked in protection domain ${facts.pd}.`;
    case 'OutOfBounds':
      return ` ${overrun(asked.address, asked.length, address, length)}. The key is that of a ${what}. ${covers}, and nothing else of that region.`;
    case 'AccessDenied':
      return ` The key is that of a ${what} that grants ${rightsOf(access)}; ${rightsOf(asked.access)} is missing.`;
    default:
      return ` ${meanings[reason] ?? ''}`;
  }
}

function unmapped(asked: AskedAccess, facts: Facts, region: RegionFacts | undefined): string {
  if (asked.key !== 0) {
    return ` This is an empty access at the very end${
      region === undefined ? '' : ` of ${nameOfRegion(region)}`
    }, where no segment is mapped; an empty access must lie inside a segment.`;
  }
  const next =
    facts.dma === undefined
      ? 'nothing is mapped above it'
      : `the next mapping is at ${range(facts.dma.address, facts.dma.length)}`;
  const mixUp =
    facts.own === undefined
      ? ''
      : ` ${capital(nameOfRegion(facts.own))} has this address: it is not a DMA address and needs the region's key.`;
  return ` Key 0 takes DMA addresses (device.dma.map), and nothing is mapped at ${hex(asked.address)}: ${next}.${mixUp}`;
}

/**
 * Explains the cause of a refusal from the device's current state. Only valid if `reason` is still the verdict. The text begins
 * with a space.
 */
function causeOf(asker: Asker, asked: AskedAccess, reason: RefusalReason, facts: Facts): string {
  const { region }: SlotFacts = facts.slot;
  switch (reason) {
    case 'KeyZeroDenied':
      return keyZero(asker, facts);
    case 'NoDmaRegion':
      return ' Key 0 names the published DMA region, and none is published: call getDmaMr() on a trusted domain.';
    case 'NoSuchKey':
      return emptySlot(asker, asked, facts);
    case 'Revoked':
      return revoked(asker, asked, facts);
    case 'StaleKey':
      return staleKey(asker, asked, facts);
    case 'Unmapped':
      return unmapped(asked, facts, region);
    default:
  }
  const { window } = facts.slot;
  if (window !== undefined) return byWindow(asker, asked, reason, facts, window);
  if (region === undefined) return ` ${meanings[reason] ?? ''}`;
  switch (reason) {
    case 'Invalidated':
      return invalidated(region);
    case 'WrongPd':
      return wrongPd(asker, asked, facts, region);
    case 'OutOfBounds':
      return outOfBounds(asker, asked, facts, region);
    case 'AccessDenied':
      return accessDenied(asker, asked, facts, region);
    default:
      return ` ${meanings[reason] ?? ''}`;
  }
}

/** Describes the verdict that the same access would get now. */
function verdictNow(asker: Asker, asked: AskedAccess, facts: Facts): string {
  const now = reasonOf(facts.now);
  if (now === undefined) return 'the same access would now be accepted.';
  return `the same access would now be refused with ${now}.${causeOf(asker, asked, now, facts)}`;
}

/** Returns whether only the data path refuses accesses with this reason. */
function isOfBytes(reason: RefusalReason): boolean {
  switch (reason) {
    case 'MemoryDetached':
    case 'MemoryShrunk':
    case 'Remapped':
    case 'RegionRevoked':
    case 'OtherEnvironment':
    case 'WindowEnded':
      return true;
    default:
      return false;
  }
}

/**
 * Explains a refusal in sentences.
 *
 * @param sequence - low half of the sequence number of the key's slot record at the time of the refusal; undefined if unknown
 */
export function explainRefusal(
  asker: Asker,
  asked: AskedAccess,
  reason: RefusalReason,
  sequence: number | undefined,
): string {
  const begin = request(asker, asked, reason);
  const facts = lookUp(asker, asked);
  const meaning = ` ${meanings[reason] ?? 'The access was refused.'}`;
  if (facts === undefined) {
    const who = asker.remote ? `queue pair ${asker.id}` : `protection domain ${asker.id}`;
    return `${begin}${meaning} ${capital(who)} no longer exists, so no details are available.`;
  }
  // Checks do not examine the memory of a region, so judging the access again would accept it although its buffer is detached,
  // for example.
  if (isOfBytes(reason)) return begin + meaning;
  if (facts.faults && facts.now === 0) {
    return (
      `${begin} The device refuses accesses on purpose (options.faults.refuse), and by its rules this access would now be accepted: ` +
      'this was such a refusal, unless the state has changed since.'
    );
  }
  if (reasonOf(facts.now) !== reason) {
    return `${begin}${meaning} The state has changed since: ${verdictNow(asker, asked, facts)}`;
  }
  const changed =
    sequence !== undefined && asked.key !== 0 && sequence !== facts.slot.sequence
      ? " The content of the key's slot has changed since the refusal; this explanation describes the current content."
      : '';
  return begin + causeOf(asker, asked, reason, facts) + changed;
}

/** Explains the current verdict on an access, which may be accepted. */
export function explainNow(asker: Asker, asked: AskedAccess): string {
  const facts = lookUp(asker, asked);
  if (facts === undefined) return `${request(asker, asked, 'Closed')} ${meanings.Closed ?? ''}`;
  const now = reasonOf(facts.now);
  if (now !== undefined) return request(asker, asked, now) + causeOf(asker, asked, now, facts);
  const region = facts.slot.region;
  return (
    `${whatFor(asked.access, asker.remote)} of ${bytes(asked.length)} at ${hex(asked.address)} with key ${hex(asked.key)} ` +
    `would now be accepted${region === undefined ? '' : `, in ${nameOfRegion(region)}`}.`
  );
}
