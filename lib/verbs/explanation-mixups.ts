/**
 * Suggests the usual mistakes behind a refusal when the device's current state fits one of them. Each suggestion is one or two
 * sentences and may be wrong.
 */
import { type Asker } from './asker';
import { type AskedAccess, type Facts, lookUp, type RegionFacts } from './explanation-facts';
import { nameOfRegion, range, rightsOf, TOP } from './explanation-words';
import { AccessBit } from '../internal/layout';
import { bytes, capital, hex } from '../internal/words';

/**
 * Returns the offset in the region, in bytes, of an address, or -1n if the address is outside.
 *
 * @param origin - address of the region's first byte
 */
function byteOf(origin: bigint, region: RegionFacts, address: bigint): bigint {
  return address >= origin && address - origin < region.length ? address - origin : -1n;
}

/** Returns the address of the region's first byte in remote or local checks. */
export function originOf(remote: boolean, region: RegionFacts): bigint {
  return remote ? region.iova : region.start;
}

/** Returns the name of the kind of address that remote or local checks use. */
function sense(remote: boolean): string {
  return remote ? 'remote address (iova)' : 'local address (start)';
}

/** Suggests that a local address was used in a remote check, or the reverse. */
function otherSense(asker: Asker, asked: AskedAccess, region: RegionFacts): string {
  const origin = originOf(asker.remote, region);
  const other = originOf(!asker.remote, region);
  const byte = byteOf(other, region, asked.address);
  if (byte < 0n || origin === other) return '';
  return (
    ` Perhaps start and iova were mixed up: ${hex(asked.address)} is the ${sense(!asker.remote)} of byte ${byte} of the region; ` +
    `the ${sense(asker.remote)} of that byte is ${hex(origin + byte)}.`
  );
}

/** Suggests that an offset in the region was used as an address. */
function offset(asker: Asker, asked: AskedAccess, region: RegionFacts): string {
  const origin = originOf(asker.remote, region);
  if (asked.address >= region.length || origin <= asked.address) return '';
  if (BigInt(asked.length) > region.length - asked.address) return '';
  return (
    ` Perhaps an offset was used as an address: byte ${asked.address} of the region has the ` +
    `${sense(asker.remote)} ${hex(origin + asked.address)}.`
  );
}

/** Suggests that the length of the whole region was used together with an address in its middle. */
function fullLength(asker: Asker, asked: AskedAccess, region: RegionFacts): string {
  const byte = byteOf(originOf(asker.remote, region), region, asked.address);
  if (byte <= 0n || BigInt(asked.length) !== region.length) return '';
  return ` Perhaps the length was not reduced: it is the length of the whole region, but from byte ${byte} only ${bytes(region.length - byte)} are left.`;
}

/** Explains that the bytes past the end belong to another region. */
function neighbour(asker: Asker, asked: AskedAccess, region: RegionFacts): string {
  const origin = originOf(asker.remote, region);
  if (byteOf(origin, region, asked.address) < 0n) return '';
  const behind = origin + region.length;
  if (behind >= TOP) return '';
  const length = Number(asked.address + BigInt(asked.length) - behind);
  const next = lookUp(asker, { ...asked, address: behind, length })?.own;
  if (next === undefined) return '';
  return ` The bytes past the end belong to ${nameOfRegion(next)}; an access must lie in one region, even if another region begins where it ends.`;
}

/**
 * Suggests mistakes behind OutOfBounds.
 *
 * @param region - the region that has the key
 */
export function mixUpsOfBounds(asker: Asker, asked: AskedAccess, facts: Facts, region: RegionFacts): string {
  const text =
    otherSense(asker, asked, region) || offset(asker, asked, region) || fullLength(asker, asked, region);
  if (text !== '') return text;
  if (facts.own !== undefined) return otherKey(asker, facts.own);
  return neighbour(asker, asked, region);
}

function otherKey(asker: Asker, region: RegionFacts): string {
  const addresses = range(originOf(asker.remote, region), region.length);
  return (
    ` Perhaps the key of another region was used: the address belongs to ${nameOfRegion(region)} of the same domain, ` +
    `with the ${asker.remote ? 'remote' : 'local'} addresses ${addresses}.`
  );
}

/** Suggests mistakes behind a key that no region of the domain has. */
export function mixUpsOfKey(asker: Asker, asked: AskedAccess, facts: Facts): string {
  const { swapped, own, ownOtherWay, others } = facts;
  if (swapped.region !== undefined && swapped.region.key !== asked.key && isSwapped(asked.key, swapped.key)) {
    return ` Perhaps the key's bytes are in reverse order: ${hex(swapped.key)} is the key of ${nameOfRegion(swapped.region)}.`;
  }
  if (own !== undefined) return otherKey(asker, own);
  if (ownOtherWay !== undefined) {
    return (
      ` ${capital(nameOfRegion(ownOtherWay))} of the same domain has ${hex(asked.address)} as a ${sense(!asker.remote)}: ` +
      'both the key and the address may be wrong.'
    );
  }
  if (others !== undefined) {
    return ` The address belongs to ${nameOfRegion(others)} of protection domain ${others.pd}, whose regions cannot be used here.`;
  }
  return facts.searchedAll
    ? ''
    : ' (There are many regions; only some of them were searched for the address.)';
}

function isSwapped(key: number, other: number): boolean {
  const swapped = ((key & 0xff) << 24) | ((key & 0xff00) << 8) | ((key >>> 8) & 0xff00) | (key >>> 24);
  return swapped >>> 0 === other;
}

/**
 * Suggests mistakes behind AccessDenied.
 *
 * @param region - the region that has the key
 */
export function mixUpsOfRights(asker: Asker, asked: AskedAccess, facts: Facts, region: RegionFacts): string {
  const remoteBits = AccessBit.RemoteRead | AccessBit.RemoteWrite | AccessBit.RemoteAtomic;
  if (!asker.remote && (asked.access & remoteBits & ~region.access) !== 0) {
    return ' Remote rights are for peers: a local check asks for LocalWrite to write, or 0 to read.';
  }
  if (
    asker.remote &&
    asked.access === AccessBit.RemoteWrite &&
    (region.access & AccessBit.LocalWrite) !== 0
  ) {
    return ' LocalWrite lets this program write; peers need RemoteWrite.';
  }
  const other = facts.own;
  if (other !== undefined && (other.access & asked.access) === asked.access && asked.access !== 0) {
    return ` ${capital(nameOfRegion(other))} has the same address and grants ${rightsOf(asked.access)}; perhaps its key was meant.`;
  }
  return '';
}
