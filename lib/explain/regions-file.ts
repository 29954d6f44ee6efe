/** Reads the regions of a responder: the JSON of `device.resources()`, or a list that a person wrote. */
import { isIPv4, isIPv6 } from 'node:net';

import { AccessBit } from '../internal/layout';
import { formatAddress } from '../internal/host-text';

/** A region of a responder. */
export interface ListedRegion {
  readonly key: number;
  readonly address: bigint;
  /** Bytes. */
  readonly length: bigint;
  /** Bits of `Access`. */
  readonly rights: number;
  /** Number of the protection domain; undefined if the list does not say. */
  readonly domain: number | undefined;
  /** Address of the responder, if the list says it. */
  readonly host: string | undefined;
  readonly state: 'Valid' | 'Invalid' | 'HalfDead';
}

/** The regions, and the domains of queue pairs by their numbers. */
export interface RegionList {
  readonly regions: readonly ListedRegion[];
  readonly domains: ReadonlyMap<number, number>;
}

/** Thrown for a list of regions that is not valid. The message names the place: `regions[2].key`. */
export class RegionListError extends Error {
  override name = 'RegionListError';
}

/** Most regions of a list. */
const MOST_REGIONS = 65_536;

/** A map, because an object would also know names such as `constructor`, which a list could contain. */
const rightBits: ReadonlyMap<unknown, number> = new Map([
  ['LocalWrite', AccessBit.LocalWrite],
  ['RemoteWrite', AccessBit.RemoteWrite],
  ['RemoteRead', AccessBit.RemoteRead],
  ['RemoteAtomic', AccessBit.RemoteAtomic],
  ['MwBind', AccessBit.MwBind],
]);

/**
 * Reads a list of regions.
 *
 * @param text - JSON: the output of `JSON.stringify(device.resources())`; or an array of regions, or an object with `regions` and,
 *   optionally, `queuePairs`
 * @throws RegionListError
 */
export function parseRegions(text: string): RegionList {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new RegionListError(`not JSON: ${(error as Error).message}`);
  }
  const list = Array.isArray(json) ? { regions: json as unknown } : objectOf(json, 'the file');
  const regions = arrayOf(list.regions, 'regions');
  if (regions.length > MOST_REGIONS)
    throw new RegionListError(`regions has more than ${MOST_REGIONS} elements`);
  const domains = new Map<number, number>();
  if (list.queuePairs !== undefined) {
    for (const [i, row] of arrayOf(list.queuePairs, 'queuePairs').entries()) {
      const place = `queuePairs[${i}]`;
      const { qpn, domain, pd } = objectOf(row, place);
      if (qpn === undefined) continue; // a queue pair of resources() that is for checks only
      const number = Number(integerOf(qpn, `${place}.qpn`, 0xff_ffffn));
      domains.set(number, Number(integerOf(domain ?? pd, `${place}.domain`, 0xffff_ffffn)));
    }
  }
  return { regions: regions.map((row, i) => regionOf(row, `regions[${i}]`)), domains };
}

function regionOf(value: unknown, place: string): ListedRegion {
  const row = objectOf(value, place);
  const key = Number(integerOf(row.key ?? row.rkey, `${place}.key`, 0xffff_ffffn));
  const address = integerOf(row.address ?? row.iova, `${place}.address`, 2n ** 64n - 1n);
  const length = integerOf(row.length, `${place}.length`, 2n ** 64n - 1n);
  if (address + length > 2n ** 64n) throw new RegionListError(`${place} passes the end of the address space`);
  const given = row.domain ?? row.pd;
  const { host, state = 'Valid' } = row;
  if (state !== 'Valid' && state !== 'Invalid' && state !== 'HalfDead') {
    throw new RegionListError(`${place}.state must be "Valid", "Invalid" or "HalfDead"`);
  }
  return {
    key,
    address,
    length,
    rights: rightsOf(row.rights ?? row.access, `${place}.rights`),
    domain: given === undefined ? undefined : Number(integerOf(given, `${place}.domain`, 0xffff_ffffn)),
    host: host === undefined ? undefined : addressOf(host, `${place}.host`),
    state,
  };
}

/** Reads an address, and returns it as packets' addresses are written; an IPv6 address has many other spellings. */
function addressOf(value: unknown, place: string): string {
  if (typeof value === 'string' && isIPv4(value)) return value;
  if (typeof value !== 'string' || !isIPv6(value) || value.includes('%')) {
    throw new RegionListError(`${place} must be an address, such as "10.0.0.2"`);
  }
  // A host name of a URL has groups without leading zeros, and no dotted part.
  const [front = '', back] = new URL(`http://[${value}]`).hostname.slice(1, -1).split('::');
  const groupsOf = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
  const before = groupsOf(front);
  const after = groupsOf(back ?? '');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  const groups = [...before, ...zeros, ...after];
  const words = [0, 2, 4, 6].map((i) => (((groups[i] ?? 0) << 16) | (groups[i + 1] ?? 0)) >>> 0);
  return formatAddress(words, 0);
}

function rightsOf(value: unknown, place: string): number {
  if (typeof value === 'number' || typeof value === 'string')
    return Number(integerOf(value, place, 0xffff_ffffn));
  let rights = 0;
  for (const [i, name] of arrayOf(value, place).entries()) {
    const bit = rightBits.get(name);
    if (bit !== undefined) rights |= bit;
    else rights |= Number(integerOf(name, `${place}[${i}]`, 0xffff_ffffn));
  }
  return rights >>> 0;
}

function objectOf(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RegionListError(`${place} must be an object`);
  }
  return value as Record<string, unknown>;
}

function arrayOf(value: unknown, place: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new RegionListError(`${place} must be an array`);
  return value as unknown[];
}

/** Reads a number, or a text such as `"0x1000"` or `"4096"`. */
function integerOf(value: unknown, place: string, most: bigint): bigint {
  const isText = typeof value === 'string' && /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(value);
  if (!isText && !(typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)) {
    throw new RegionListError(`${place} must be a number, or a text such as "0x1000"`);
  }
  const number = BigInt(value);
  if (number > most) throw new RegionListError(`${place} is too large`);
  return number;
}
